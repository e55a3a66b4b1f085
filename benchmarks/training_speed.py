"""Training images per second: foodvision's loop against timm's network in a plain PyTorch loop.

    make bench

Each run is its own process. The two sides alternate, so that a slowdown of the machine affects
both. Both use the same precision, batch size, fused AdamW and clipping, and neither is compiled.
With data `memory`, the same batch is repeated. With data `files`, JPEG files in class folders are
loaded with random crops and flips; timm's side loads them as a good tutorial does, with
torchvision's ImageFolder and transforms and a DataLoader. foodvision's side has two features that
the plain loop lacks: it keeps freed memory, and it decodes images once, before the first step. The
time for decoding is printed separately and not included in the rate.

Fine-tuning is recipe `finetune` on foodvision's side. timm's side uses timm's layer-wise decay and
moving average of the weights (`param_groups_layer_decay`, `ModelEmaV3`). The weights are random.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROUNDS, WARM_UP = 5, 2
IMAGES, CLASSES = 320, 3
CASES = {
    "Ti/8 at 64 px": {"network": "ti", "patch": 8, "size": 64, "batch": 64, "steps": 10},
    "B/16 at 224 px": {"network": "b", "patch": 16, "size": 224, "batch": 8, "steps": 2},
}
CASES["fine-tuning B/16 at 224 px"] = CASES["B/16 at 224 px"] | {"recipe": "finetune"}


def foodvision_steps(case: dict, data: str, folder: str, precision: str) -> Iterator:
    """Train with foodvision's loop, yielding after each step."""
    from accelerate import Accelerator

    from foodvision.backends.device import keep_freed_memory
    from foodvision.data import load_dataset
    from foodvision.images import ImageSpec
    from foodvision.models.config import ViTConfig
    from foodvision.models.vit import ViT
    from foodvision.training.loop import Training
    from foodvision.training.recipe import Recipe
    from foodvision.training.settings import load_recipe

    keep_freed_memory()
    settings = {"batch_size": case["batch"], "precision": precision, "epochs": 1000}
    recipe = Recipe(**settings)
    if "recipe" in case:
        recipe = load_recipe(case["recipe"], settings | {"weights": "not read"})
    images = load_dataset(folder).splits["all"]
    config = ViTConfig.named(
        f"vit_{case['network']}{case['patch']}", image_size=case["size"], num_classes=CLASSES
    )
    network, spec = ViT(config), ImageSpec(case["size"])
    training = Training(network, images, images[:1], spec, recipe, Accelerator(cpu=True))
    if data == "memory":
        shape = case["batch"], 3, case["size"], case["size"]
        pixels = torch.randint(256, shape, dtype=torch.uint8)
        batch = pixels, torch.randint(CLASSES, shape[:1]), torch.arange(shape[0])
        training.loader = [batch] * 1000
    return training.steps()


def plain_steps(case: dict, data: str, folder: str, precision: str) -> Iterator:
    """Train timm's network in a plain loop, yielding after each step."""
    from timm.models import vision_transformer
    from timm.optim import param_groups_layer_decay
    from timm.utils import ModelEmaV3
    from torch.nn import functional
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from foodvision.models.config import VARIANTS

    variant, size = VARIANTS[case["network"]], case["size"]
    network = vision_transformer.VisionTransformer(
        img_size=size,
        patch_size=case["patch"],
        embed_dim=variant.hidden_size,
        num_heads=variant.num_heads,
        depth=variant.num_layers,
        num_classes=CLASSES,
    )
    parameters, average = network.parameters(), None
    if "recipe" in case:
        parameters = param_groups_layer_decay(network, layer_decay=0.75)
        average = ModelEmaV3(network, decay=0.99, foreach=True)
    optimizer = torch.optim.AdamW(parameters, 1e-3, weight_decay=0.05, fused=True)
    view = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.35, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    loader = DataLoader(ImageFolder(folder, view), case["batch"], shuffle=True, drop_last=True)
    batch = torch.randn(case["batch"], 3, size, size), torch.randint(CLASSES, (case["batch"],))
    while True:
        for pixels, labels in [batch] * 1000 if data == "memory" else loader:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
                logits = network(pixels)
            loss = functional.cross_entropy(logits.float(), labels, label_smoothing=0.1)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if average:
                average.update(network)
            yield


def measure(side: str, name: str, data: str, folder: str, precision: str) -> float:
    """Return the images per second of one side, after a warm-up."""
    case = CASES[name]
    steps = {"foodvision": foodvision_steps, "timm": plain_steps}[side](
        case, data, folder, precision
    )
    for _ in range(WARM_UP):
        next(steps)
    started = time.perf_counter()
    for _ in range(case["steps"]):
        next(steps)
    return case["steps"] * case["batch"] / (time.perf_counter() - started)


def seconds_to_decode(folder: str) -> float:
    """Time the decoding that foodvision does once for all epochs."""
    from foodvision.data import load_dataset
    from foodvision.images import ImageSpec
    from foodvision.training.memory import OpenedImages

    started = time.perf_counter()
    OpenedImages(load_dataset(folder).splits["all"], ImageSpec(64))
    return time.perf_counter() - started


def write_images(folder: Path) -> None:
    """Write JPEG files of noise, larger than the network's input, as photographs are."""
    random = np.random.default_rng(0)
    for i in range(IMAGES):
        path = folder / f"class {i % CLASSES}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 255, (20, 25, 3), dtype=np.uint8))
        coarse.resize((500, 400), Image.Resampling.BICUBIC).save(path)


def main() -> None:
    """Run both sides alternately; print medians and the ratio."""
    from foodvision.backends.device import has_fast_bf16

    precision = "bf16" if has_fast_bf16(torch.device("cpu")) else "float32"
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        seconds = seconds_to_decode(folder)
        print(f"decoding {IMAGES} images, once in foodvision: {seconds:.2f} s", flush=True)
        for name in CASES:
            for data in ("memory", "files"):
                rates: dict[str, list[float]] = {"foodvision": [], "timm": []}
                for _ in range(ROUNDS):
                    for side, found in rates.items():
                        run = [sys.executable, __file__, side, name, data, folder, precision]
                        done = subprocess.run(run, check=True, capture_output=True)
                        found.append(json.loads(done.stdout))
                own, timm = (statistics.median(found) for found in rates.values())
                ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
                print(
                    f"{name}, {precision}, data from {data}: foodvision {own:.1f}, timm {timm:.1f} "
                    f"images/s; ratio {ratio:.2f} (median of {ROUNDS} pairs)",
                    flush=True,
                )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(*sys.argv[1:]))
    else:
        main()
