"""Milliseconds to classify one photograph: `Classifier.predict` against the course's code.

    make bench
    .venv/bin/python benchmarks/predict_speed.py [PHOTO.jpg] [--threads 2] [--rounds 30]

ViT-B/16 at 224 px on the CPU in float32. torchvision draws random weights and `load_pretrained`
reads them, so both networks have the same weights and their probabilities must agree. Without
PHOTO, a noisy drawing of 512 × 384 px is used.

Three measurements alternate in one process, in a different order in each round:
course: PIL, torchvision's transforms and network, softmax (learnpytorch.io, chapter 09).
foodvision: `Classifier.predict(path)`.
parts: foodvision's decoding and resizing, and its network, each timed separately. The time that
`predict` takes beyond their sum is its overhead.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.drawings import draw_image
from foodvision.images.transforms import open_pixels, prepare
from foodvision.weights.source import load_pretrained

WEIGHTS_FILE = "vit_b_16-c867db91.pth"
"""torchvision's file name for IMAGENET1K_V1; `load_pretrained` infers the transforms from it."""
WARM_UP = 3


def build_networks(folder: Path) -> tuple[torch.nn.Module, TorchClassifier]:
    """Build torchvision's network and a foodvision classifier with the same random weights."""
    torch.manual_seed(0)
    network = torchvision.models.vit_b_16().eval()
    torch.nn.init.normal_(network.heads.head.weight, std=0.2)  # torchvision's initial head is 0
    torch.save(network.state_dict(), folder / WEIGHTS_FILE)
    pretrained = load_pretrained(str(folder / WEIGHTS_FILE))
    # Numbers as class names: two of ImageNet's names occur twice.
    names = map(str, range(pretrained.network.config.num_classes))
    return network, TorchClassifier(pretrained.network, pretrained.spec, names)


def write_photo(path: Path) -> None:
    """Write a drawing with noise, which takes as long to decode as a photograph."""
    drawing = draw_image("pizza", 0).resize((512, 384), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 8, (384, 512, 3))
    pixels = np.clip(np.asarray(drawing) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90)


def milliseconds(function: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    started = time.perf_counter()
    function()
    return (time.perf_counter() - started) * 1000


@torch.inference_mode()
def main() -> None:
    """Check that both sides agree, time them alternately and print medians."""
    parser = argparse.ArgumentParser(
        description="Time one prediction by foodvision and by the course."
    )
    parser.add_argument(
        "photo", type=Path, nargs="?", help="a JPEG file (default: a noisy drawing)"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=30, help="timed rounds")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        photo = arguments.photo or Path(folder) / "drawing.jpg"
        if arguments.photo is None:
            write_photo(photo)
        network, classifier = build_networks(Path(folder))
        transforms = torchvision.models.ViT_B_16_Weights.IMAGENET1K_V1.transforms()

        def course() -> torch.Tensor:
            pixels = transforms(Image.open(photo))
            return network(pixels[None]).softmax(dim=1)[0]

        def preprocess() -> torch.Tensor:
            return prepare(open_pixels(photo, classifier.spec), classifier.spec)

        pixels = preprocess()[None]
        by_name = classifier.predict(photo).probabilities
        predicted = torch.tensor([by_name[name] for name in classifier.classes])
        same_pixels = (network(pixels).softmax(dim=1)[0] - predicted).abs().max()
        assert same_pixels < 1e-5, f"the networks disagree: {same_pixels}"
        print(
            f"largest difference in probability: {same_pixels:.0e} for the same pixels, "
            f"{(course() - predicted).abs().max():.0e} with the course's resizing"
        )

        sides: dict[str, Callable[[], object]] = {
            "course": course,
            "Classifier.predict": lambda: classifier.predict(photo),
            "decode + resize": preprocess,
            "network": lambda: classifier.network(pixels),
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(-WARM_UP, arguments.rounds):
            for side in np.roll(list(sides), number):
                elapsed = milliseconds(sides[side])
                if number >= 0:
                    times[side].append(elapsed)
    size = "×".join(map(str, Image.open(photo).size)) if arguments.photo else "512×384"
    print(
        f"one JPEG of {size} px, {arguments.threads} threads, medians of {arguments.rounds} rounds:"
    )
    for name, measured in times.items():
        print(f"{name:<20}{statistics.median(measured):8.1f} ms")
    course_times, predict, prepared, computed = times.values()
    overhead = statistics.median(
        p - d - n for p, d, n in zip(predict, prepared, computed, strict=True)
    )
    ratio = statistics.median(p / c for p, c in zip(predict, course_times, strict=True))
    print(f"overhead of TorchClassifier.predict over decode + resize + network: {overhead:.1f} ms")
    print(f"ratio foodvision/course: {ratio:.2f}")


if __name__ == "__main__":
    main()
