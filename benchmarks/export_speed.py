"""An exported classifier beside the transformers pipeline: one photograph, and a folder of them.

    python benchmarks/export_speed.py TRAINED EXPORTED PHOTOS [--images 600] [--threads 2]

TRAINED is a folder in transformers' format, EXPORTED its export. Every library gets the same files.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import pipeline

import foodvision as fv
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.info import Export
from foodvision.weights.repository import CONFIG, read_json

BATCH_SIZES = (1, 8, 32)


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
    print(f"one photograph, {arguments.threads} threads, ms (p50, p95), ratio to the pipeline")
    show(time_singles(singles, photos[: arguments.singles]))

    some = photos[: arguments.images]
    batches: dict[str, Callable[[], Iterable[Any]]] = {
        f"transformers pipeline, batches of {n}": lambda n=n: pipe(some, batch_size=n)
        for n in BATCH_SIZES
    }
    fastest = min(graphs, key=lambda run: time_singles({run: graphs[run].predict}, photos[:5])[run])
    batches[f"foodvision, {fastest}"] = lambda: graphs[fastest].predict_many(some)
    print(f"\n{len(some)} photographs, images/s")
    rates = {}
    for name, run in batches.items():
        started = time.perf_counter()
        list(run())
        rates[name] = len(some) / (time.perf_counter() - started)
        print(f"  {name:42} {rates[name]:8.2f}", flush=True)
    best = max(rate for name, rate in rates.items() if name.startswith("transformers"))
    print(f"  ratio to the pipeline's best: {rates[f'foodvision, {fastest}'] / best:.2f}")


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


if __name__ == "__main__":
    main()
