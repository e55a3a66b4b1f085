"""Assign images to training, validation and test; nothing is copied.

An image's split depends on the seed and the SHA-256 of its bytes alone. Images that are added
later therefore move no other image, and two copies of a file are never in different splits.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from foodvision.data.dataset import FLAT, Dataset, LabelledImages
from foodvision.data.inventory import Inventory, take_inventory, warn_of_identical
from foodvision.data.listing import Listing
from foodvision.data.stream_store import StreamStore
from foodvision.errors import DataError, ImageError
from foodvision.text import list_names, to_cell

log = logging.getLogger(__name__)

SPLIT_CSV = "split.csv"
"""The file of a flat folder, and of a run, that has the split of each image."""


def carve(
    sha256: Sequence[str], labels: Sequence[int], seed: int, fractions: Mapping[str, float]
) -> list[str]:
    """Assign each image to ``train`` or to one of the splits in `fractions`.

    A hash of seed and content places each image in [0, 1), and each split is an interval of it:
    every class is split in the same proportion, up to chance. If a class is so small that a split
    would get none of it, one image is moved there.

    Args:
        sha256: of each image's bytes, or of one image of its group: images that share it share a
            split.
        labels: the class of each image.
        seed: another seed gives another assignment.
        fractions: the share of each split other than train, in 0-1; their sum is below 1.

    Returns:
        The split of each image.

    Raises:
        DataError: if the fractions are impossible.

    """
    if not all(fraction > 0 for fraction in fractions.values()) or sum(fractions.values()) >= 1:
        listed = ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())
        raise DataError(f"shares must be above 0, and their sum below 1: {listed}")
    place = {digest: _place(seed, digest) for digest in sha256}
    split = {digest: choose_split(seed, digest, fractions) for digest in place}
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


def choose_split(seed: int, digest: str, fractions: Mapping[str, float]) -> str:
    """The split of one image, as `carve` assigns it unless its class is tiny."""
    place = _place(seed, digest)
    for name, fraction in fractions.items():
        if place < fraction:
            return name
        place -= fraction
    return "train"


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
        """The split of each image, as the text of split.csv; of a stream, of each row group."""
        return to_csv([*self.train.rows("train"), *self.validation.rows("validation")])


def training_splits(
    dataset: Dataset, seed: int, fraction: float, share: float = 1.0
) -> TrainingSplits:
    """Read the training and validation images; no file of the test split is opened.

    Of a stream, only the validation images are read: they are what the best model is chosen by, so
    none of them may turn out to be damaged later. Where the stream has no such files, whole row
    groups are carved, which training then need not read.

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
    if given.stream:
        return _streamed_splits(dataset, given, given.stream, seed, fraction, share)
    whole = share == 1  # otherwise all are hashed, but only those that are used are opened
    inventory = take_inventory(given, opened=whole)
    unreadable = [*inventory.unreadable]
    if "validation" in dataset.splits:
        train, validation = inventory, take_inventory(dataset.splits["validation"], opened=whole)
        unreadable += validation.unreadable
    else:
        train, validation = _carved(inventory, seed, "validation", fraction)
    warn_of_identical(dataset.name, {"train": train, "validation": validation})
    if not whole:
        # Not the seed of the carving, or the share would be cut from one end of its interval.
        train, _ = _carved(train, -1 - seed, "left out", 1 - share)
        train, validation = take_inventory(train.images), take_inventory(validation.images)
        unreadable += [*train.unreadable, *validation.unreadable]
    if not len(train.images) or not len(validation.images):
        why = f"; {len(unreadable)} cannot be opened, such as {unreadable[0]}" if unreadable else ""
        raise DataError(f"{dataset.name}: too few images to train and to validate on{why}")
    return TrainingSplits(train, validation, unreadable)


def _streamed_splits(
    dataset: Dataset,
    train: LabelledImages,
    stream: StreamStore,
    seed: int,
    fraction: float,
    share: float,
) -> TrainingSplits:
    log.info(
        "%s: streamed: training images are not read before training comes to them, so damaged ones "
        "are found then and skipped, and identical ones are not looked for",
        dataset.name,
    )
    held_out = dataset.splits.get("validation")
    if held_out is None:
        train, held_out = _carved_groups(dataset.name, train, stream, seed, fraction)
    if share < 1:  # by name: the bytes are not known
        splits = carve(train.names(), train.labels.tolist(), -1 - seed, {"left out": 1 - share})
        train = train.subset([i for i, split in enumerate(splits) if split == "train"])
    validation = take_inventory(held_out)
    if not len(train) or not len(validation.images):
        raise DataError(f"{dataset.name}: too few images to train and to validate on")
    return TrainingSplits(Listing(train, (), ()), validation, validation.unreadable)


def _carved_groups(
    name: str, images: LabelledImages, stream: StreamStore, seed: int, fraction: float
) -> tuple[LabelledImages, LabelledImages]:
    """What is left to train on, and as many row groups as have this fraction of the images."""
    group_of = stream.groups_of(images.indices)
    groups, counts = np.unique(group_of, return_counts=True)
    if len(groups) < 2:
        raise DataError(
            f"{name}: has one row group, and a validation split is carved by whole ones; add "
            "validation-*.parquet, or write smaller row groups"
        )
    order = np.argsort([_place(seed, f"row group {group}") for group in groups])
    before = np.cumsum(counts[order]) - counts[order]
    carved = groups[order[:-1][before[:-1] < fraction * len(images)]]
    is_carved = np.isin(group_of, carved)
    train, validation = (images.subset(np.flatnonzero(is_carved == wanted)) for wanted in (0, 1))
    log.info(
        "%s: no validation split: %d of %d row groups are held out, %s images",
        *(name, len(carved), len(groups), f"{len(validation):,}"),
    )
    known, counts_left = images.counts(), train.counts()
    if lost := [label for label, count in counts_left.items() if known[label] and not count]:
        raise DataError(
            f"{name}: without the row groups that are held out, nothing is left to train on of "
            f"{list_names(lost)}; shuffle the rows of the files, or add validation-*.parquet"
        )
    if unseen := [label for label, n in validation.counts().items() if known[label] and not n]:
        log.warning("%s: classes without a validation image: %s", name, list_names(unseen))
    return train, validation


def to_csv(rows: Iterable[tuple[str, str, str, str]], rule: str = "") -> str:
    """The text of split.csv.

    Args:
        rows: name, class, SHA-256 and split of each image.
        rule: how they were split, repeated in each row; empty to leave the column out.

    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    header, last = (["rule"], [rule]) if rule else ([], [])
    writer.writerow(["name", "class", "sha256", "split", *header])
    for name, label, digest, split in rows:
        writer.writerow([to_cell(name), to_cell(label), digest, split, *last])
    return text.getvalue()


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
