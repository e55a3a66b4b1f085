"""An exported ViT-B/16 beside the transformers pipeline and timm's inference loop.

    python benchmarks/export_speed.py TRAINED EXPORTED PHOTOS [--singles 30] [--images 600]

TRAINED is a folder in transformers' format, EXPORTED its export. First one photograph at a time,
from file to probabilities, then folders of them. Every library gets the same files; all take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torch.utils.data import DataLoader
from transformers import pipeline

import foodvision as fv
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.info import Export
from foodvision.weights.repository import CONFIG, read_json

BATCH_SIZES = (1, 8, 16, 32)
TRIED = 64
"""Photographs to choose the best batch size of each library by."""
ROUNDS = 5
"""Turns in which the folder is read."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path)
    parser.add_argument("exported", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--singles", type=int, default=30)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photos = sorted(str(path) for path in arguments.photos.rglob("*.jpg"))
    pipe: Any = pipeline("image-classification", model=str(arguments.trained), device="cpu")
    runs = Export.from_config(read_json(arguments.exported / CONFIG)).runs
    graphs = {run: ExportedClassifier.read(arguments.exported, run) for run in runs}
    trained = fv.Classifier.load(arguments.trained, "cpu")

    singles: dict[str, Callable[[str], Any]] = {"transformers pipeline": pipe}
    singles["foodvision, torch float32"] = trained.predict
    singles |= {f"foodvision, {run}": graph.predict for run, graph in graphs.items()}
    print(f"one photograph, {arguments.threads} threads: ms (p50, p95), ratio to the pipeline")
    seconds = time_singles(singles, photos[: arguments.singles])
    show(seconds)

    fastest = min(runs, key=lambda run: statistics.median(seconds[f"foodvision, {run}"]))
    loop = TimmLoop(len(trained.classes))
    theirs: dict[str, Callable[[list[str], int], Iterable[Any]]] = {
        "transformers pipeline": lambda some, n: pipe(some, batch_size=n),
        "timm, two workers": loop.probabilities,
    }
    folders: dict[str, Callable[[list[str]], Iterable[Any]]] = {}
    for name, run in theirs.items():
        rates = {
            n: rate_of(lambda some, run=run, n=n: run(some, n), photos[:TRIED]) for n in BATCH_SIZES
        }
        print(f"\n{name}, images/s by batch size:", {n: f"{rate:.2f}" for n, rate in rates.items()})
        best = max(rates, key=rates.__getitem__)
        folders[f"{name}, batches of {best}"] = lambda some, run=run, n=best: run(some, n)
    folders[f"foodvision, {fastest}"] = graphs[fastest].predict_many
    some = photos[: arguments.images]
    print(
        f"\n{len(some)} photographs in {ROUNDS} turns: images/s (median, all), foodvision's ratio"
    )
    show_folders(time_folders(folders, some))


class TimmLoop:
    """The loop of timm's inference.py: a loader with two workers, the network in float32."""

    def __init__(self, classes: int) -> None:
        self.network = timm.create_model("vit_base_patch16_224", num_classes=classes).eval()
        self.transform = create_transform(**resolve_model_data_config(self.network))

    def probabilities(self, photos: list[str], batch_size: int) -> Iterable[Any]:
        """Of each batch."""
        dataset = [(path, self.transform) for path in photos]
        loader = DataLoader(dataset, batch_size, num_workers=2, collate_fn=opened)
        with torch.inference_mode():
            for images in loader:
                yield self.network(images).softmax(dim=1)


def opened(batch: list[tuple[str, Callable[[Image.Image], torch.Tensor]]]) -> torch.Tensor:
    return torch.stack([transform(Image.open(path).convert("RGB")) for path, transform in batch])


def time_singles(
    singles: dict[str, Callable[[str], Any]], photos: list[str]
) -> dict[str, list[float]]:
    for run in singles.values():
        run(photos[0])
    seconds: dict[str, list[float]] = {name: [] for name in singles}
    for i, photo in enumerate(photos):
        names = list(singles)
        for name in names[i % len(names) :] + names[: i % len(names)]:
            started = time.perf_counter()
            singles[name](photo)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def show(seconds: dict[str, list[float]]) -> None:
    first = statistics.median(next(iter(seconds.values())))
    for name, taken in seconds.items():
        p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
        print(f"  {name:42} {1000 * p50:8.1f} {1000 * p95:8.1f} {first / p50:8.2f}")


def rate_of(run: Callable[[list[str]], Iterable[Any]], photos: list[str]) -> float:
    started = time.perf_counter()
    for _ in run(photos):
        pass
    return len(photos) / (time.perf_counter() - started)


def time_folders(
    folders: dict[str, Callable[[list[str]], Iterable[Any]]], photos: list[str]
) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in folders}
    for turn in range(ROUNDS):
        for name, run in folders.items():
            rates[name].append(rate_of(run, photos[turn::ROUNDS]))
    return rates


def show_folders(rates: dict[str, list[float]]) -> None:
    *_, ours = map(statistics.median, rates.values())
    for name, each in rates.items():
        p50 = statistics.median(each)
        listed = " ".join(f"{rate:.2f}" for rate in each)
        print(f"  {name:42} {p50:8.2f}   {listed:36} {ours / p50:8.2f}")


if __name__ == "__main__":
    main()
