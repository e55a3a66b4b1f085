"""What Parquet files and the Hub's datasets say of themselves: splits, columns and classes.

`parquet` reads such data from a disk, `stream` from addresses; here is what both take for a split,
for the column of images and the column of labels, and for the classes.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from foodvision.data.dataset import (
    FLAT,
    LABEL_NAMES,
    SPLITS,
    Dataset,
    LabelledImages,
    plain_name,
    split_of,
)
from foodvision.errors import DataError
from foodvision.text import list_names

log = logging.getLogger(__name__)

_BINARY = ("binary", "large_binary")


def files_by_split(text: str, files: Sequence[str]) -> dict[str, list[str]]:
    """Parquet files by the splits that their names, or those of their folders, begin with.

    Args:
        text: what the user typed, for messages.
        files: paths or addresses.

    Returns:
        Only `FLAT` if no file is named after a split.

    Raises:
        DataError: if there are two names for one split, or only some files have such a name.

    """
    named: dict[str, list[str]] = defaultdict(list)
    prefixes: dict[str, str] = {}
    in_several = len({PurePath(file).parent for file in files}) > 1
    for file in files:
        prefix = re.split(r"[-_.\d]", PurePath(file).name)[0].lower()
        if in_several and not split_of(prefix):
            prefix = PurePath(file).parent.name.lower()
        split = split_of(prefix) or FLAT
        if split != FLAT and prefixes.setdefault(split, prefix) != prefix:
            raise DataError(f"{text}: both {prefixes[split]} and {prefix} are {split}")
        named[split].append(file)
    if FLAT in named and len(named) > 1:
        raise DataError(
            f"{text}: some files are named after splits, but not {PurePath(named[FLAT][0]).name}"
        )
    return dict(named)


def find_columns(text: str, features: Any, datasets: Any) -> tuple[str, str]:
    """The names of the image column and the label column, found by type, then by name.

    Args:
        text: what is read, for messages.
        features: of the `datasets` library.
        datasets: that library.

    Raises:
        DataError: if there is not one of each.

    """
    kinds = {key: _dtype(kind) for key, kind in features.items()}
    images = [
        key
        for key, kind in features.items()
        if isinstance(kind, datasets.Image)
        or (isinstance(kind, dict) and _dtype(kind.get("bytes")) in (*_BINARY, "null"))
    ] or [key for key, kind in kinds.items() if kind in _BINARY]
    named = [key for key in features if plain_name(key) in LABEL_NAMES]
    labels = (
        [key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
        or [key for key in named if kinds[key] in ("string", "large_string")]
        or [key for key in named if kinds[key].startswith(("int", "uint", "bool"))]
    )
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"{text}: needs one column of images and one of labels (ClassLabel, or text or "
            f"integers in a column named 'label'); it has {', '.join(features)}"
        )
    return images[0], labels[0]


def read_labels(
    text: str, split: str, kind: Any, column: Any, datasets: Any
) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes of a split, and the label of each row; -1 is no label.

    Args:
        text: what the user typed, for messages.
        split: its name.
        kind: of the column, in the words of `datasets`.
        column: Arrow's.
        datasets: that library.

    Raises:
        DataError: if a label is no class, or an image to train on has none.

    """
    if isinstance(kind, datasets.ClassLabel):
        classes, labels = tuple(kind.names), column.fill_null(-1).to_numpy()
    else:
        import pyarrow.compute

        distinct = column.unique()  # no object of Python for each of millions of rows
        # As in a ClassLabel, -1 is no label. Numbers are sorted by value: 2 before 10.
        ordered = sorted({*distinct.to_pylist()} - {None, -1})
        classes = tuple(map(str, ordered))
        number = {value: i for i, value in enumerate(ordered)}
        numbers = np.array([number.get(value, -1) for value in distinct.to_pylist()])
        labels = numbers[pyarrow.compute.index_in(column, value_set=distinct).to_numpy()]
    unlabelled = int((labels == -1).sum())
    if unlabelled == len(labels):
        log.warning("%s: %s has no labelled images and is left out", text, split)
    elif labels.min() < -1 or labels.max() >= len(classes):
        raise DataError(f"{text}: {split} has labels that are not classes")
    elif unlabelled and split in ("train", FLAT):
        raise DataError(f"{text}: {split} has images without a label (null or -1)")
    elif unlabelled:
        log.warning(
            "%s: images of %s that have no label and are left out: %d", text, split, unlabelled
        )
    return classes, labels


def with_common_classes(text: str, name: str, splits: dict[str, LabelledImages]) -> Dataset:
    """A dataset of splits that have each their own classes, matched by name.

    Args:
        text: what the user typed, for messages.
        name: of the dataset.
        splits: each with its own classes.

    Raises:
        DataError: if no split has labels.

    """
    if not any(map(len, splits.values())):
        raise DataError(f"{text}: no split has labels")
    usual = [split for split in splits if split in (FLAT, *SPLITS)]
    usual.sort(key=lambda split: split != "train")
    classes = splits[usual[0]].classes
    for split in usual:  # classes that train lacks come last: `load_dataset` refuses them
        classes += tuple(name for name in _used(splits[split]) if name not in classes)
    for split, images in list(splits.items()):
        if own := [name for name in _used(images) if name not in classes]:
            listed = list_names(own)
            log.warning("%s: %s has classes of its own and is left out: %s", text, split, listed)
            del splits[split]
        else:
            splits[split] = images.relabelled(classes)
    return Dataset(name, classes, splits)


def _used(images: LabelledImages) -> list[str]:
    return [name for name, count in images.counts().items() if count]


def _dtype(kind: Any) -> str:
    return str(getattr(kind, "dtype", ""))
