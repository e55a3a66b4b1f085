"""What `reduced_decode` changes on JPEGs of 12 megapixels, and how much time it saves.

    python benchmarks/reduced_decode.py MODEL... PHOTOS

PHOTOS is a folder of photographs. `--images` of them, drawn at random, are scaled up to about 12
megapixels (bicubic). Sensor noise is added: normal, independent for each pixel and channel, of a
standard deviation of √(4 + v / 20) at the value v (2 for black, 3.2 for grey, 4.1 for white), times
`--noise`. They are saved as JPEG of quality 92, colour at half the resolution, as cameras do. Each
classifier predicts every image with `reduced_decode` off and on; which is first alternates.

"rounding" is a control without reduced decoding: the full image resized in float32, against uint8
as usual. It is what a change of at most a grey level or two does to a probability.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from foodvision.classifier.classifier import Classifier
from foodvision.images.decode import SUFFIXES, open_image
from foodvision.images.transforms import center_crop, finish, open_pixels, view
from foodvision.progress import progress_bar

STAGES = ("decode", "resize", "network", "file to probabilities")

T = TypeVar("T")


def main() -> None:
    """Print, for each model, how the answers differ and what each stage takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="folders of classifiers")
    parser.add_argument("photos", type=Path, help="a folder of photographs")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--noise", type=float, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in SUFFIXES)
    photos = random.Random(0).sample(found, args.images)
    comparisons = [Comparison(model) for model in args.models]
    megabytes = []
    with tempfile.TemporaryDirectory() as folder, progress_bar() as bar:
        task = bar.add_task("comparing", total=len(photos), unit="images", info="")
        large = Path(folder) / "large.jpg"
        for number, photo in enumerate(photos):
            enlarge(photo, large, args.megapixels, args.noise, seed=number)
            megabytes.append(large.stat().st_size / 1e6)
            for comparison in comparisons:
                comparison.add(large, photo)
            bar.advance(task)
    print(
        f"{len(photos)} JPEGs of {args.megapixels:g} megapixels and {min(megabytes):.1f} to "
        f"{max(megabytes):.1f} MB (median {statistics.median(megabytes):.1f}), "
        f"{args.threads} threads"
    )
    for comparison in comparisons:
        comparison.report()


def enlarge(photo: Path, to: Path, megapixels: float, noise: float, seed: int) -> None:
    """Write the photograph as a camera of so many megapixels might have taken it."""
    image = open_image(photo)
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    size = round(image.width * scale), round(image.height * scale)
    values = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32)
    normal = np.random.default_rng(seed).standard_normal(values.shape, np.float32)
    values = values + noise * np.sqrt(4 + values / 20) * normal
    Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).save(
        to, quality=92, subsampling="4:2:0"
    )


class Comparison:
    """One classifier, with `reduced_decode` off and on."""

    def __init__(self, model: str) -> None:
        self.model, self.classifier = model, Classifier.load(model, device="cpu")
        self.changes: list[float] = []
        self.control: list[float] = []
        self.reduced = 0
        self.other_labels: list[str] = []
        self.seconds = {on: {stage: list[float]() for stage in STAGES} for on in (False, True)}

    def add(self, file: Path, photo: Path) -> None:
        """Predict the file both ways."""
        order = (False, True) if len(self.changes) % 2 else (True, False)
        answers = {on: self._predict(file, on) for on in order}
        full, reduced = answers[False], answers[True]
        self.changes.append(change(full, reduced))
        self.control.append(change(full, self._without_rounding(file)))
        labels = [max(answer, key=answer.__getitem__) for answer in (full, reduced)]
        if labels[0] != labels[1]:
            self.other_labels.append(
                f"{photo.parent.name}/{photo.name}: {labels[0]} {full[labels[0]]:.4f}, "
                f"reduced {labels[1]} {reduced[labels[1]]:.4f}"
            )

    @torch.inference_mode()
    def _predict(self, file: Path, reduced: bool) -> dict[str, float]:
        self.classifier.spec = spec = replace(self.classifier.spec, reduced_decode=reduced)
        times = self.seconds[reduced]
        answer = timed(times["file to probabilities"], lambda: self.classifier.predict(file))
        pixels = timed(times["decode"], lambda: open_pixels(file, spec))
        if reduced and Image.open(file).size != tuple(pixels.shape[:0:-1]):
            self.reduced += 1
        seen = timed(times["resize"], lambda: finish(view(pixels, spec), spec))
        timed(times["network"], lambda: self.classifier.network(seen[None]))
        return answer.probabilities

    @torch.inference_mode()
    def _without_rounding(self, file: Path) -> dict[str, float]:
        spec = replace(self.classifier.spec, reduced_decode=False)
        assert spec.resize_mode == "crop", "the control knows crop alone"
        pixels = open_pixels(file, spec)
        size = list(spec.resized_size(*pixels.shape[-2:]))
        mode = InterpolationMode(spec.interpolation)
        seen = F.resize(pixels.to(torch.float32), size, interpolation=mode, antialias=True)
        seen = center_crop(seen.clamp(0, 255), spec.height, spec.width)
        logits = self.classifier.network(finish(seen, spec)[None])
        return dict(zip(self.classifier.classes, logits.softmax(1)[0].tolist(), strict=True))

    def report(self) -> None:
        """Print the figures."""
        print(f"\n{self.classifier.network.config.description}: {self.model}")
        print(f"labels that differ: {len(self.other_labels)}")
        for line in self.other_labels:
            print(f"  {line}")
        print(f"decoded at a smaller scale: {self.reduced} of {len(self.changes)}")
        for name, changes in (("reduced", self.changes), ("rounding", self.control)):
            ranked = sorted(changes, reverse=True)
            print(
                f"{name}: largest change of a probability of an image: "
                f"{', '.join(f'{value:.4f}' for value in ranked[:4])}, ...; mean "
                f"{statistics.mean(ranked):.4f}; above 0.01: {sum(c > 0.01 for c in ranked)}"
            )
        print(f"{'median ms':<24}{'full':>9}{'reduced':>9}{'ratio':>7}{'paired':>8}")
        for stage in STAGES:
            full, reduced = self.seconds[False][stage], self.seconds[True][stage]
            a, b = statistics.median(full), statistics.median(reduced)
            paired = statistics.median(x / y for x, y in zip(full, reduced, strict=True))
            print(f"{stage:<24}{1000 * a:>9.1f}{1000 * b:>9.1f}{a / b:>7.2f}{paired:>8.2f}")


def change(one: dict[str, float], other: dict[str, float]) -> float:
    """The largest difference of a probability."""
    return max(abs(one[name] - other[name]) for name in one)


def timed(seconds: list[float], function: Callable[[], T]) -> T:
    """Call the function, and note how long it took."""
    started = time.perf_counter()
    result = function()
    seconds.append(time.perf_counter() - started)
    return result


if __name__ == "__main__":
    main()
