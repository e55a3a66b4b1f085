"""Assign images to training, validation and test; nothing is copied.

An image's split depends on the seed and the SHA-256 of its bytes alone. Images that are added
later therefore move no other image, and two copies of a file are never in different splits.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from foodvision.data.dataset import FLAT, Dataset
from foodvision.data.folder import SPLIT_CSV
from foodvision.data.inventory import Inventory, take_inventory
from foodvision.errors import DataError, ImageError
from foodvision.files.atomic import cannot_write


def carve(
    sha256: Sequence[str], labels: Sequence[int], seed: int, fractions: Mapping[str, float]
) -> list[str]:
    """Assign each image to ``train`` or to one of the splits in `fractions`.

    A hash of seed and content places each image in [0, 1), and each split is an interval of it:
    every class is split in the same proportion, up to chance. If a class is so small that a split
    would get none of it, one image is moved there.

    Args:
        sha256: of each image's bytes.
        labels: the class of each image.
        seed: another seed gives another assignment.
        fractions: the share of each split other than train, in 0-1; their sum is below 1.

    Returns:
        The split of each image.

    """
    if not all(fraction > 0 for fraction in fractions.values()) or sum(fractions.values()) >= 1:
        raise ValueError(f"fractions must be above 0 and sum to less than 1, not {dict(fractions)}")
    place = {digest: _place(seed, digest) for digest in sha256}
    split = {digest: _interval(place[digest], fractions) for digest in place}
    distinct = sorted(set(zip(labels, sha256, strict=True)))
    for _, group in groupby(distinct, key=lambda pair: pair[0]):
        members = sorted((digest for _, digest in group), key=place.__getitem__)
        if len(members) <= len(fractions):
            split |= dict.fromkeys(members, "train")  # too few to share
            continue
        for name in (*fractions, "train"):
            if not any(split[digest] == name for digest in members):
                counts = [split[digest] for digest in members]
                largest = max(sorted(set(counts)), key=counts.count)
                donors = [digest for digest in members if split[digest] == largest]
                split[donors[-1] if name == "train" else donors[0]] = name
    return [split[digest] for digest in sha256]


@dataclass(frozen=True)
class TrainingSplits:
    """The training and the validation images, read and hashed.

    Attributes:
        train: the images to train on.
        validation: the images to validate on.
        unreadable: one error for each image that is left out.

    """

    train: Inventory
    validation: Inventory
    unreadable: Sequence[ImageError]

    def to_csv(self) -> str:
        """The split of each image, as the text of split.csv."""
        rows = [
            (name, int(label), digest, split)
            for split, inventory in (("train", self.train), ("validation", self.validation))
            for name, label, digest in zip(
                inventory.images.names(), inventory.images.labels, inventory.sha256, strict=True
            )
        ]
        return _to_csv(rows, self.train.images.classes)


def training_splits(
    dataset: Dataset, seed: int, fraction: float, share: float = 1.0
) -> TrainingSplits:
    """Read the training and validation images; no file of the test split is opened.

    Args:
        dataset: without a validation split, one is carved from its training images, or from
            all images of a flat folder.
        seed: of `carve`.
        fraction: share that is carved, in 0-1.
        share: of the training images of each class to train on, in 0-1; a smaller share is a
            subset of a larger one, and the validation images are the same for all.

    Raises:
        DataError: if no images are left to train or to validate on.

    """
    given = dataset.splits.get("train", dataset.splits.get(FLAT))
    if given is None:
        raise DataError(f"{dataset.name}: has no training images, only {', '.join(dataset.splits)}")
    inventory = take_inventory(given)
    if "validation" in dataset.splits:
        other = take_inventory(dataset.splits["validation"])
        splits = TrainingSplits(inventory, other, [*inventory.unreadable, *other.unreadable])
    else:
        train, validation = _carved(inventory, seed, "validation", fraction)
        splits = TrainingSplits(train, validation, inventory.unreadable)
    if share < 1:
        # Not the seed of the carving, or the share would be cut from one end of its interval.
        train, _ = _carved(splits.train, -1 - seed, "left out", 1 - share)
        splits = replace(splits, train=train)
    if not len(splits.train.images) or not len(splits.validation.images):
        raise DataError(f"{dataset.name}: too few images to train and to validate on")
    return splits


def split_folder(dataset: Dataset, seed: int, fractions: Mapping[str, float]) -> Path:
    """Write split.csv into a flat folder; `load_dataset` follows it from then on.

    Args:
        dataset: loaded with ``follow_split_csv=False``.
        seed: of `carve`.
        fractions: of `carve`.

    Raises:
        DataError: if the dataset has splits already, is not a folder, or cannot be written to.

    """
    if dataset.root is None or FLAT not in dataset.splits:
        raise DataError(f"{dataset.name}: has splits already: {', '.join(dataset.splits)}")
    images = dataset.splits[FLAT]
    inventory = take_inventory(images)
    assigned = carve(inventory.sha256, inventory.images.labels.tolist(), seed, fractions)
    path = dataset.root / SPLIT_CSV
    # An image that cannot be opened is listed too: training will report it.
    found = zip(inventory.images.names(), inventory.sha256, assigned, strict=True)
    split_of = {name: (digest, split) for name, digest, split in found}
    rows = [
        (name, int(label), *split_of.get(name, ("", "train")))
        for name, label in zip(images.names(), images.labels, strict=True)
    ]
    try:
        path.write_text(_to_csv(rows, dataset.classes), encoding="utf-8", newline="")
    except OSError as error:
        raise DataError(cannot_write(path, error)) from error
    return path


def _carved(
    inventory: Inventory, seed: int, name: str, fraction: float
) -> tuple[Inventory, Inventory]:
    """What is left to train on, and the split that is carved from it."""
    assigned = carve(inventory.sha256, inventory.images.labels.tolist(), seed, {name: fraction})
    train, carved = (
        inventory.subset([i for i, split in enumerate(assigned) if split == wanted])
        for wanted in ("train", name)
    )
    return train, carved


def _place(seed: int, digest: str) -> float:
    return int(hashlib.sha256(f"{seed} {digest}".encode()).hexdigest()[:13], 16) / 16**13


def _interval(place: float, fractions: Mapping[str, float]) -> str:
    for name, fraction in fractions.items():
        if place < fraction:
            return name
        place -= fraction
    return "train"


def _to_csv(rows: Iterable[tuple[str, int, str, str]], classes: Sequence[str]) -> str:
    """Name, class, SHA-256 and split of each image."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["name", "class", "sha256", "split"])
    for name, label, digest, split in rows:
        writer.writerow([name, classes[label], digest, split])
    return text.getvalue()
