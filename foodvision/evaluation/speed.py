"""How long classifiers take for an image, from opening the file to the probabilities.

Classifiers and labelled images come in; each one's seconds per image and images per second go out.
The classifiers take turns, so whatever else the machine does hits all alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from foodvision.classifier.classifier import Classifier
from foodvision.data import Example
from foodvision.images.decode import ImageSource
from foodvision.progress import progress_bar

Result = TypeVar("Result")

MAX_IMAGES = 100
MAX_SECONDS = 60.0
"""Of each of the two measurements on a device; a turn that has begun is finished."""
WARM_UP = 3
"""Images of each classifier that are not timed: the first ones allocate and load."""
BATCH_SIZE = 32
ROUNDS = 3
"""Passes over the images in batches, of which the median counts."""


@dataclass(frozen=True)
class Speed:
    """The speed of one classifier on one device, decoding included.

    Attributes:
        device: ``cpu``, ``cuda`` or ``mps``.
        images: number of images that were timed one by one.
        seconds_p50: median seconds for one image, as the course times it: the file is opened,
            prepared and classified before the next.
        seconds_p95: 95 of 100 images take no longer.
        images_per_second: in batches of `batch_size`, which are decoded ahead in threads.
        batch_size: of these batches.

    """

    device: str
    images: int
    seconds_p50: float
    seconds_p95: float
    images_per_second: float
    batch_size: int

    @property
    def fps(self) -> float:
        """Images per second one by one, 1 / `seconds_p50`."""
        return 1 / self.seconds_p50


def measure_speed(
    classifiers: Sequence[Classifier], examples: Sequence[Example], device: str
) -> list[Speed]:
    """Time classifiers on the same images, in turns.

    Every file is read once beforehand, so none of the classifiers waits for the disk. Between two
    of its images, the others fill the processor's caches.

    Args:
        classifiers: moved to `device`, and back at the end.
        examples: images that can be opened; at most `MAX_IMAGES`, drawn at random, are used.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        FoodvisionError: if the machine has no such device.

    """
    examples = [examples[i] for i in draw_positions(len(examples), MAX_IMAGES)]
    for example in examples:
        example.read()
    sources = [example.source for example in examples]
    homes = [classifier.device_type for classifier in classifiers]
    try:
        for classifier in classifiers:
            classifier.to(device)
        seconds = in_turns([_timed(c) for c in classifiers], sources, f"timing on {device}")
        rates = rates_in_turns(
            [partial(c.logits, batch_size=BATCH_SIZE) for c in classifiers],
            sources,
            f"timing batches on {device}",
        )
    finally:
        for classifier, home in zip(classifiers, homes, strict=True):
            classifier.to(home)
    return [
        Speed(
            device=device,
            images=len(taken),
            seconds_p50=float(np.median(taken)),
            seconds_p95=float(np.quantile(taken, 0.95)),
            images_per_second=rate,
            batch_size=BATCH_SIZE,
        )
        for taken, rate in zip(seconds, rates, strict=True)
    ]


def draw_positions(n: int, most: int) -> np.ndarray:
    """At most so many of n images, in random order: in a dataset they are sorted by class."""
    return np.random.default_rng(0).permutation(n)[:most]


def in_turns(
    calls: Sequence[Callable[[ImageSource], Result]], sources: Sequence[ImageSource], title: str
) -> list[list[Result]]:
    """What calls that time themselves return for each image; they take turns on each.

    Args:
        calls: each is warmed up on the first `WARM_UP` images.
        sources: the rest is left out after `MAX_SECONDS`.
        title: of the progress bar.

    Returns:
        One list for each call, all equally long.

    """
    for call in calls:
        for source in sources[:WARM_UP]:
            call(source)
    results: list[list[Result]] = [[] for _ in calls]
    began, random = time.perf_counter(), np.random.default_rng(0)
    with progress_bar() as bar:
        task = bar.add_task(title, total=len(sources), unit="images", info="")
        for source in sources:
            # In random order: after a large network, a small one takes longer.
            for which in random.permutation(len(calls)).tolist():
                results[which].append(calls[which](source))
            bar.advance(task)
            if time.perf_counter() - began > MAX_SECONDS:
                break
    return results


def rates_in_turns(
    calls: Sequence[Callable[[Sequence[ImageSource]], Iterable[object]]],
    sources: Sequence[ImageSource],
    title: str,
) -> list[float]:
    """The median images per second of calls that yield a result for each image.

    Args:
        calls: take turns; each is warmed up on one batch.
        sources: the first two batches are used.
        title: of the progress bar.

    """
    sources = sources[: 2 * BATCH_SIZE]
    for call in calls:
        list(call(sources[:BATCH_SIZE]))
    rates: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    with progress_bar("rounds") as bar:
        task = bar.add_task(title, total=ROUNDS, info="")
        for _ in range(ROUNDS):
            for call, rate in zip(calls, rates, strict=True):
                started = time.perf_counter()
                list(call(sources))
                rate.append(len(sources) / (time.perf_counter() - started))
            bar.advance(task)
            if time.perf_counter() - began > MAX_SECONDS:
                break
    return [float(np.median(rate)) for rate in rates]


def describe_machine(device: str, threads: int | None = None) -> str:
    """What the times depend on, as in ``cuda (NVIDIA H100)`` or ``cpu (2 threads)``.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        threads: on the CPU; None for torch's.

    """
    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    threads = threads or torch.get_num_threads()
    plural = "" if threads == 1 else "s"
    return f"cpu ({threads} thread{plural})" if device == "cpu" else device


def _timed(classifier: Classifier) -> Callable[[ImageSource], float]:
    def seconds(source: ImageSource) -> float:
        started = time.perf_counter()
        classifier.predict(source)  # ends on the host: nothing is pending
        return time.perf_counter() - started

    return seconds
