"""Times every way to run a model, stage by stage: torch's precisions and an export's graphs.

Folders of classifiers and of exports come in, a `Benchmark` with a row for each way goes out. The
ways take turns on the same images, so whatever else the machine does hits all alike.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from foodvision import drawings
from foodvision.data import Dataset, load_dataset
from foodvision.errors import DataError, ImageError
from foodvision.evaluation.compare import distinct_names, held_out_images, labels_for
from foodvision.evaluation.speed import (
    BATCH_SIZE,
    MAX_IMAGES,
    describe_machine,
    draw_positions,
    in_turns,
    rates_in_turns,
)
from foodvision.export.benchmarked import Benchmark, Row, Spread
from foodvision.export.ways import Way, ways_to_run
from foodvision.images.decode import ImageSource
from foodvision.metrics import log_loss_of_each
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

MAX_SCORED = 200
"""Images for agreement and log loss."""

DRAWINGS = 2 * BATCH_SIZE
DRAWING_SIZE = (512, 384)
"""Width and height: as small photographs have them."""


def benchmark(
    models: Sequence[str | Path], data: str | Path | Dataset | None = None, device: str = "auto"
) -> Benchmark:
    """Time models on the same images, and score them if the images have labels.

    Args:
        models: folders of classifiers or of exports, or Hub ids. A classifier is timed in float32
            and in bf16; of an export, every graph whose runtime is installed.
        data: a dataset, or what `load_dataset` takes; its test split, or all images of a flat
            folder, is timed and scored. None for drawings, which are only timed.
        device: of the networks: ``auto``, ``cpu``, ``cuda`` or ``mps``. Graphs run on the CPU.

    Raises:
        DataError: if there is no test split, a model lacks a class, or no image can be opened.
        FoodvisionError: if the machine has no such device.
        MissingExtraError: if nothing that runs an exported model is installed.
        ModelError: if there is no such model, or it is damaged.
        ValueError: if there are no models.

    """
    if not models:
        raise ValueError("there is no model to time")
    dataset = data if data is None or isinstance(data, Dataset) else load_dataset(data)
    ways = [
        way
        for model, name in zip(models, distinct_names(models), strict=True)
        for way in ways_to_run(model, name, device)
    ]
    sources: list[ImageSource] = []
    scores: list[_Score] = []
    if dataset:
        images, sources, scores = _score(ways, dataset)
    else:
        images = f"drawings of {DRAWING_SIZE[0]} × {DRAWING_SIZE[1]} pixels"
        sources += _drawings()
    timed = sources[:MAX_IMAGES]
    seconds = in_turns([way.time for way in ways], timed, "timing one by one")
    rates = rates_in_turns([way.logits for way in ways], timed, "timing many")
    return Benchmark(
        images=images,
        timed=len(seconds[0]),
        scored=len(sources) if scores else 0,
        batch_size=BATCH_SIZE,
        rows=[
            Row(
                model=way.model,
                run=way.run,
                device=way.classifier.device_type,
                threads=way.threads,
                machine=describe_machine(way.classifier.device_type, way.threads),
                milliseconds=_spreads(seconds[i]),
                images_per_second=rates[i],
                agreement=scores[i].agreement if scores else None,
                log_loss=scores[i].log_loss if scores else None,
            )
            for i, way in enumerate(ways)
        ],
    )


def _spreads(images: Sequence[dict[str, float]]) -> dict[str, Spread]:
    """Of each stage, and of their sum."""
    taken = {name: np.array([image[name] for image in images]) for name in images[0]}
    taken["total"] = np.sum(list(taken.values()), axis=0)
    return {
        name: Spread(1000 * float(np.median(x)), 1000 * float(np.quantile(x, 0.95)))
        for name, x in taken.items()
    }


def _drawings() -> Iterator[bytes]:
    """JPEG files."""
    for i in range(DRAWINGS):
        image = drawings.draw_image(drawings.CLASSES[i % len(drawings.CLASSES)], seed=i)
        file = io.BytesIO()
        image.resize(DRAWING_SIZE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        yield file.getvalue()


@dataclass(frozen=True)
class _Score:
    agreement: float
    log_loss: float


def _score(ways: Sequence[Way], dataset: Dataset) -> tuple[str, list[ImageSource], list[_Score]]:
    """Score each way on images of the dataset.

    Returns:
        What the images are; those that every way can open; the scores.

    """
    split, images = held_out_images(dataset)
    chosen = images.subset(draw_positions(len(images), MAX_SCORED))
    labels = [labels_for(way.classifier, way.model, chosen) for way in ways]
    examples = list(chosen)
    sources = [example.source for example in examples]
    results = _all_logits(ways, sources)
    unreadable = {
        i: f"{examples[i].name}: {logits.reason}"
        for row in results
        for i, logits in enumerate(row)
        if isinstance(logits, ImageError)
    }
    kept = [i for i in range(len(examples)) if i not in unreadable]
    if not kept:
        raise DataError(f"{dataset.name}: no image of {split} can be opened")
    if unreadable:
        log.warning(
            "%d of %d images cannot be opened and are left out; the first is %s",
            len(unreadable),
            len(examples),
            unreadable[min(unreadable)],
        )
    scores, first = [], None
    for way, row, truth in zip(ways, results, labels, strict=True):
        logits = np.array([row[i] for i in kept], np.float32)
        answers = np.array(way.classifier.classes, dtype=object)[logits.argmax(axis=1)]
        first = answers if first is None else first
        loss = log_loss_of_each(logits, truth[kept]).mean()
        scores.append(_Score(float(np.mean(answers == first)), float(loss)))
    return f"{split} of {dataset.name}", [sources[i] for i in kept], scores


def _all_logits(
    ways: Sequence[Way], sources: Sequence[ImageSource]
) -> list[list[Float[np.ndarray, " K"] | ImageError]]:
    results: list[list[np.ndarray | ImageError]] = []
    with progress_bar() as bar:
        task = bar.add_task("scoring", total=len(ways) * len(sources), unit="images", info="")
        for way in ways:
            results.append([])
            for logits in way.logits(sources):
                results[-1].append(logits)
                bar.advance(task)
    return results
