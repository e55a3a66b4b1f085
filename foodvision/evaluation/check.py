"""What is wrong with this dataset? Every image is opened once; out go the `Findings`.

This opens the test split on purpose: an image that is in train and in test makes every result too
good. Nothing that is fitted here, to find wrong labels, is kept.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foodvision.data.dataset import FLAT, SPLITS, Dataset, Example, LabelledImages
from foodvision.data.duplicates import Duplicates, find_duplicates
from foodvision.data.faults import Fault, Severity, find_faults, find_unrecognised
from foodvision.data.inventory import AHEAD, Inventory
from foodvision.data.load import load_dataset
from foodvision.data.sketch import LENGTH, MIN_SIDE, sketch
from foodvision.errors import ImageError
from foodvision.evaluation.findings import ClassFault, FaultyImage, Findings, Pair, Place
from foodvision.evaluation.label_errors import find_label_errors, prepare_features
from foodvision.images.decode import open_image
from foodvision.prefetch import prefetch
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

FEW = 10
"""A class with fewer training images has few."""

IMBALANCED = 3
"""Classes are imbalanced if the largest has this many times the images of the smallest."""


def check(
    data: str | Path | Dataset, features: str | None = None, device: str = "auto"
) -> Findings:
    """Look for faulty files, duplicates, leaks between splits, imbalance and wrong labels.

    Args:
        data: a dataset, or what `load_dataset` takes; loaded here, it may have classes that cannot
            be trained on, which are reported.
        features: weights as `load_pretrained` takes them, whose network did not learn from these
            images; a probe of its features finds suspicious labels. None skips that.
        device: that computes the features.

    Raises:
        DataError: if there is no such dataset.
        MissingExtraError: if `features` is given and cleanlab is not installed.
        ModelError: if there are no such weights.

    """
    probed = prepare_features(features, device) if features else None
    dataset = data if isinstance(data, Dataset) else load_dataset(data, strict=False)
    images = dataset.all_images()
    splits = _split_of_each(dataset)
    inventory, faults, kept = _survey(images)
    places = [
        Place(name, split, images.classes[label])
        for name, split, label in zip(images.names(), splits, images.labels.tolist(), strict=True)
    ]
    faulty = [FaultyImage(places[i], fault) for i, found in faults for fault in found]
    faulty += _left_out(dataset)
    assert inventory.sketches is not None
    duplicates = find_duplicates(inventory.sha256, inventory.sketches)
    opened = [places[i] for i in kept]
    suspects = None
    if probed:
        suspects = find_label_errors(inventory, opened, duplicates, probed)
    counts = {name: dataset.splits[name].counts() for name in _splits(dataset)}
    return Findings(
        data=dataset.name,
        splits=counts,
        classes=list(_class_faults(dataset.classes, counts)),
        faults=faulty,
        pairs=_pairs(duplicates, opened),
        groups=[[opened[i] for i in group] for group in duplicates.groups()],
        suspects=suspects,
        images=images,
    )


class _Surveyed(NamedTuple):
    sha256: str
    sketch: np.ndarray
    faults: list[Fault]


def _survey(images: LabelledImages) -> tuple[Inventory, list[tuple[int, list[Fault]]], list[int]]:
    """Read and open each image once, in threads.

    Returns:
        The images that open; the faults by position; the positions of the images that open.

    """
    sketches = np.empty((len(images), LENGTH), np.uint8)
    sha256: list[str] = []
    kept: list[int] = []
    unreadable: list[ImageError] = []
    faults: list[tuple[int, list[Fault]]] = []
    with progress_bar() as bar, closing(prefetch(_examine, images, AHEAD)) as results:
        task = bar.add_task("checking", total=len(images), unit="images", info="")
        for i, result in enumerate(results):
            if isinstance(result, ImageError):
                unreadable.append(result)
                faults.append((i, [Fault("unreadable", result.reason)]))
            else:
                sketches[len(kept)] = result.sketch
                kept.append(i)
                sha256.append(result.sha256)
                if result.faults:
                    faults.append((i, result.faults))
            bar.advance(task)
    readable = images.subset(kept)
    return Inventory(readable, sha256, unreadable, sketches[: len(kept)]), faults, kept


def _examine(example: Example) -> _Surveyed | ImageError:
    try:
        content = example.read()
        opened = open_image(content, min_side=MIN_SIDE)
        faults = find_faults(example.name, content, opened)
    except ImageError as error:
        return ImageError(example.name, error.reason)
    return _Surveyed(hashlib.sha256(content).hexdigest(), sketch(opened), faults)


def _splits(dataset: Dataset) -> list[str]:
    """The splits of `Dataset.all_images`, in its order."""
    return [FLAT] if FLAT in dataset.splits else [name for name in SPLITS if name in dataset.splits]


def _split_of_each(dataset: Dataset) -> list[str]:
    return [name for name in _splits(dataset) for _ in range(len(dataset.splits[name]))]


def _left_out(dataset: Dataset) -> Iterator[FaultyImage]:
    """The images among the files that are not read because of their suffix."""
    for path in dataset.left_out:
        name = path.relative_to(dataset.root).as_posix() if dataset.root else str(path)
        try:
            found = find_unrecognised(name, Example(path, -1, name).read())
        except ImageError:
            continue
        for fault in found:
            yield FaultyImage(Place(name, "", ""), fault)


def _pairs(duplicates: Duplicates, places: list[Place]) -> list[Pair]:
    """Those across splits first, then those across classes; each with the most similar first.

    Of several identical images, the first is paired with each of the others.
    """
    pairs = [
        Pair(places[group[0]], places[i], None) for group in duplicates.identical for i in group[1:]
    ]
    pairs += [
        Pair(places[i], places[j], float(similarity))
        for (i, j), similarity in zip(
            duplicates.near.tolist(), duplicates.similarity.tolist(), strict=True
        )
    ]
    return sorted(pairs, key=lambda pair: pair.importance)


def _class_faults(
    classes: tuple[str, ...], counts: dict[str, dict[str, int]]
) -> Iterator[ClassFault]:
    learned = next(iter(counts.values()))
    split = next(iter(counts))
    for name in classes:
        empty = [other for other in counts if not counts[other][name]]
        if len(empty) == len(counts):
            yield ClassFault("empty class", "error", f"{name}: has no image")
        elif empty:
            severity: Severity = "error" if split in empty else "warning"
            yield ClassFault("empty class", severity, f"{name}: no image in {', '.join(empty)}")
    filled = {name: count for name, count in learned.items() if count}
    if len(filled) < 2:
        yield ClassFault("one class", "error", "a classifier needs two or more")
        return
    for name, count in filled.items():
        if count < FEW:
            yield ClassFault("small class", "warning", f"{name}: {count} images in {split}")
    small, large = min(filled, key=filled.__getitem__), max(filled, key=filled.__getitem__)
    if filled[large] >= IMBALANCED * filled[small]:
        text = f"{large} has {filled[large]:,} images in {split}, {small} has {filled[small]:,}"
        yield ClassFault("imbalance", "warning", text)
