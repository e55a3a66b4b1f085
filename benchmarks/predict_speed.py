"""Milliseconds to classify one photograph: `Classifier.predict` beside the course's way.

    make bench
    .venv/bin/python benchmarks/predict_speed.py [PHOTO.jpg] [--threads 2] [--rounds 30]

ViT-B/16 at 224 px on the CPU in float32. Its random weights are drawn by torchvision and read
through our own reader, so both sides hold the same numbers and their probabilities must agree.
Without PHOTO, a noisy drawing of 512 × 384 px is used.

Three sides take turns in one process, in another order in each round:
course: PIL, torchvision's transforms and network, softmax (learnpytorch.io, chapter 09).
ours: `Classifier.predict(path)`.
parts: our decoding and resizing, then our network, each on its own; what `predict` takes beyond
their sum is its overhead.
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

from foodvision.classifier.classifier import Classifier
from foodvision.drawings import draw_image
from foodvision.weights import load_pretrained

WEIGHTS_FILE = "vit_b_16-c867db91.pth"
"""torchvision's name for IMAGENET1K_V1, by which our reader finds the transforms."""
WARM_UP = 3


def build_networks(folder: Path) -> tuple[torch.nn.Module, Classifier]:
    """Build torchvision's network and our classifier with the same random weights."""
    torch.manual_seed(0)
    network = torchvision.models.vit_b_16().eval()
    torch.nn.init.normal_(network.heads.head.weight, std=0.2)  # torchvision's initial head is 0
    torch.save(network.state_dict(), folder / WEIGHTS_FILE)
    ours = load_pretrained(str(folder / WEIGHTS_FILE))
    names = map(str, range(ours.network.config.num_classes))  # ImageNet has two names twice
    return network, Classifier(ours.network, ours.spec, names)


def write_photo(path: Path) -> None:
    """A drawing with noise, so that decoding costs what it costs for a photograph."""
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
    """Check that both sides agree, measure them in turns, print medians."""
    parser = argparse.ArgumentParser(description="Time one prediction: ours and the course's.")
    parser.add_argument("photo", type=Path, nargs="?", help="a JPEG; a noisy drawing if left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
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

        def prepare() -> torch.Tensor:
            return classifier.spec.prepare(classifier.spec.open(photo))

        pixels = prepare()[None]
        answers = classifier.predict(photo).probabilities
        ours = torch.tensor([answers[name] for name in classifier.classes])
        same_pixels = (network(pixels).softmax(dim=1)[0] - ours).abs().max()
        assert same_pixels < 1e-5, f"the networks disagree: {same_pixels}"
        print(
            f"largest difference of a probability: {same_pixels:.0e} for the same pixels, "
            f"{(course() - ours).abs().max():.0e} with the course's resizing"
        )

        sides: dict[str, Callable[[], object]] = {
            "course": course,
            "Classifier.predict": lambda: classifier.predict(photo),
            "decode + resize": prepare,
            "network": lambda: classifier.network(pixels),
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(-WARM_UP, arguments.rounds):
            for side in np.roll(list(sides), number):
                elapsed = milliseconds(sides[side])
                if number >= 0:
                    times[side].append(elapsed)
    size = "×".join(map(str, Image.open(photo).size)) if arguments.photo else "512×384"
    print(f"one JPEG of {size} px, {arguments.threads} threads, medians of {arguments.rounds}:")
    for name, measured in times.items():
        print(f"{name:<20}{statistics.median(measured):8.1f} ms")
    theirs, predict, prepared, computed = times.values()
    overhead = statistics.median(
        p - d - n for p, d, n in zip(predict, prepared, computed, strict=True)
    )
    ratio = statistics.median(p / c for p, c in zip(predict, theirs, strict=True))
    print(f"overhead of Classifier.predict over decode + resize + network: {overhead:.1f} ms")
    print(f"ratio ours/course: {ratio:.2f}")


if __name__ == "__main__":
    main()
