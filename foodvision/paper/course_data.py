"""The cut of a dataset that an experiment of the course gets: as many images per class as it had.

The bytes of an image decide, so every cut of the same photographs is the same one, and those of
10 % are a part of those of 20 %.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foodvision.data import Dataset, LabelledImages
from foodvision.errors import DataError
from foodvision.paper.course_figures import (
    BIG_CLASSES,
    BIG_TEST,
    BIG_TRAIN,
    MINI,
    TEST,
    TRAIN,
    Original,
)


def course_cut(dataset: Dataset, original: Original) -> tuple[Dataset, bool]:
    """The training and test images for one experiment.

    Of each class, those with the smallest SHA-256 are taken. A dataset with the course's numbers of
    training and test images is taken for the course's own, and returned whole.

    Args:
        dataset: with a training and a test split that hold enough images.
        original: says how many.

    Returns:
        The images, and whether they are the course's own.

    Raises:
        DataError: if a split, a class or images are missing.
        ImageError: if an image file cannot be read.

    """
    for split in ("train", "test"):
        if split not in dataset.splits:
            raise DataError(
                f"has no {split} split, only {', '.join(dataset.splits)}; make one with "
                "'foodvision data split'"
            )
    if original.big:
        if len(dataset.classes) != BIG_CLASSES:
            raise DataError(f"has {len(dataset.classes)} classes, not Food-101's {BIG_CLASSES}")
        train, test = (dict.fromkeys(dataset.classes, n) for n in (BIG_TRAIN, BIG_TEST))
    else:
        if missing := [name for name in MINI if name not in dataset.classes]:
            raise DataError(f"has no class {', '.join(missing)}")
        dataset = dataset.restricted(MINI)
        train, test = dict(TRAIN[original.train]), dict(TEST[original.test])
    images = dataset.splits["train"], dataset.splits["test"]
    if len(images[0]) == sum(train.values()) and images[1].counts() == test:
        return dataset, True
    cut = {"train": _first(images[0], train, "train"), "test": _first(images[1], test, "test")}
    name = f"{dataset.name}-{len(cut['train'])}-{len(cut['test'])}"
    return replace(dataset, name=name, splits=cut), False


def _first(images: LabelledImages, counts: Mapping[str, int], split: str) -> LabelledImages:
    """So many of each class, in the order that the dataset has them."""
    if images.counts() == counts:
        return images
    if short := {c: n for c, n in images.counts().items() if n < counts[c]}:
        name, found = next(iter(short.items()))
        raise DataError(f"has {found:,} {split} images of {name}, not {counts[name]:,}")
    digests = [hashlib.sha256(example.read()).digest() for example in images]
    chosen: list[int] = []
    for label, name in enumerate(images.classes):
        rows = np.flatnonzero(images.labels == label).tolist()
        chosen += sorted(rows, key=digests.__getitem__)[: counts[name]]
    return images.subset(sorted(chosen))
