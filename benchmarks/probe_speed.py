"""ViT-B/16 as a feature extractor: the course's complete loop against `--recipe probe`.

    .venv/bin/python benchmarks/probe_speed.py ../shared/data/grocery_10

The data are 450 training and 150 test images at their natural size, no two with the same bytes. If
there are too few photographs, re-encoded crops of training photographs fill the gap. Both sides
read the same weights file, torchvision's initial weights (no download). Each side runs in its own
process and is timed from its start to its test log loss, which includes imports and reading and
checking the weights. foodvision starts with an empty cache.

The course (learnpytorch.io, chapter 08) passes every training and test image through the frozen
network in each of ten epochs: Adam at 1e-3, batches of 32, two worker processes, float32.
foodvision passes each image through it once, in bf16 where that is fast. It holds out 15 % of the
training images to choose the L2 penalty, and evaluates the test split once.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN, TEST = 450, 150
EPOCHS, BATCH = 10, 32
WEIGHTS = "vit_b_16-c867db91.pth"
"""torchvision's file name for IMAGENET1K_V1; foodvision infers the transforms from it."""


def course(folder: str) -> dict[str, float]:
    """Run the course's loop: train the head of torchvision's network on images, epoch by epoch."""
    import torch
    import torchvision
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    torch.manual_seed(42)
    network = torchvision.models.vit_b_16()
    network.load_state_dict(torch.load(Path(folder) / WEIGHTS, weights_only=True))
    network.requires_grad_(False)
    transform = torchvision.models.ViT_B_16_Weights.IMAGENET1K_V1.transforms()
    train, test = (ImageFolder(Path(folder) / "data" / split, transform) for split in SPLITS)
    network.heads = torch.nn.Linear(768, len(train.classes))
    settings = {"batch_size": BATCH, "num_workers": 2, "pin_memory": torch.cuda.is_available()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = torch.nn.CrossEntropyLoss()
    loaders = DataLoader(train, shuffle=True, **settings), DataLoader(test, **settings)
    for _ in range(EPOCHS):
        network.train()
        for pixels, labels in loaders[0]:
            loss = loss_of(network(pixels), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        total, hits = 0.0, 0
        with torch.inference_mode():
            for pixels, labels in loaders[1]:
                logits = network(pixels)
                total += float(loss_of(logits, labels)) * len(labels)  # not a mean of batch means
                hits += int((logits.argmax(dim=1) == labels).sum())
    return {"log_loss": total / len(test), "accuracy": hits / len(test)}


def foodvision(folder: str) -> dict[str, float]:
    """Run recipe `probe` on the same data and weights."""
    import foodvision as fv

    data, weights = Path(folder) / "data", str(Path(folder) / WEIGHTS)
    result = fv.train(data, "probe", Path(folder) / "run", weights=weights)
    report = fv.evaluate(result.classifier, data, precision="auto")
    return {"log_loss": report.log_loss, "accuracy": report.accuracy}


SPLITS = ("train", "test")
SIDES = {"course": course, "foodvision": foodvision}


def write_images(source: Path, out: Path) -> None:
    """Split the source's photographs at random, and add crops until there are enough to train.

    The source's own split is ignored: its test photographs come from other shops.
    """
    from PIL import Image

    choose = random.Random(0)
    found = sorted(source.glob("*/*/*.jpg"))
    choose.shuffle(found)
    del found[TEST + TRAIN :]
    for i, path in enumerate(found):
        split = "test" if i < TEST else "train"
        target = out / split / path.parent.name / f"{i}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for i, path in enumerate(found[TEST : 2 * TEST + TRAIN - len(found)]):
        with Image.open(path) as image:
            w, h = image.size
            left, top = choose.randrange(w // 10), choose.randrange(h // 10)
            crop = image.crop((left, top, left + w - w // 10, top + h - h // 10))
            crop.save(out / "train" / path.parent.name / f"crop {i}.jpg", quality=90)


def main(source: str) -> None:
    """Run both sides, one after the other; print seconds, log losses and the ratio."""
    import torch
    import torchvision

    seconds, results = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(source), Path(folder) / "data")
        torch.manual_seed(0)
        torch.save(torchvision.models.vit_b_16().state_dict(), Path(folder) / WEIGHTS)
        for side in reversed(SIDES):
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, __file__, side, folder],
                check=True,
                stdout=subprocess.PIPE,
                env=os.environ | {"XDG_CACHE_HOME": f"{folder}/cache"},
            )
            seconds[side] = time.perf_counter() - started
            results[side] = json.loads(done.stdout)
            print(
                f"{side:<11}{seconds[side]:8.1f} s  test log loss {results[side]['log_loss']:.3f}, "
                f"accuracy {results[side]['accuracy']:.1%} (n = {TEST})",
                flush=True,
            )
    print(f"ratio of seconds: {seconds['course'] / seconds['foodvision']:.1f}")


if __name__ == "__main__":
    if sys.argv[1] in SIDES:
        print(json.dumps(SIDES[sys.argv[1]](sys.argv[2])))
    else:
        main(sys.argv[1])
