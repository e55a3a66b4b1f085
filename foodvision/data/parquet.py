"""Images in the rows of Parquet files or of a dataset on the Hugging Face Hub.

A glob's files or the name of a repository come in; a `Dataset` goes out. The images stay encoded
until `open_image` opens them.
"""

from __future__ import annotations

import glob
import logging
import re
from collections import defaultdict
from pathlib import Path
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
from foodvision.data.stores import ArrowStore
from foodvision.errors import DataError, MissingExtraError
from foodvision.text import list_names

log = logging.getLogger(__name__)

_BINARY = ("binary", "large_binary")


def from_parquet(text: str, files: list[Path]) -> Dataset:
    """List the images in Parquet files.

    Args:
        text: what the user typed, for messages.
        files: named ``train-*`` or ``train_*``, and so on, or in several folders with such names;
            without names of splits, all are one.

    Raises:
        DataError: if the files cannot be read, have no columns of images and labels, or have two
            names for one split.
        MissingExtraError: if `datasets` is not installed.

    """
    if not files:
        raise DataError(f"{text}: no such Parquet file")
    named: dict[str, list[str]] = defaultdict(list)
    prefixes: dict[str, str] = {}
    in_several = len({file.parent for file in files}) > 1
    for file in files:
        prefix = re.split(r"[-_.\d]", file.name)[0].lower()
        if in_several and not split_of(prefix):
            prefix = file.parent.name.lower()
        split = split_of(prefix) or "flat"  # "all" is taken by datasets
        if split != "flat" and prefixes.setdefault(split, prefix) != prefix:
            raise DataError(f"{text}: both {prefixes[split]} and {prefix} are {split}")
        named[split].append(glob.escape(str(file)))  # `datasets` takes a path for a pattern
    if "flat" in named and len(named) > 1:
        raise DataError(
            f"{text}: some files are named after splits, but not {Path(named['flat'][0]).name}"
        )
    name = Path(text).stem if "*" not in text else Path(text).parent.name
    # One by one, or `datasets` would give every split the classes of the first.
    parts = [{"path": "parquet", "data_files": {split: named[split]}} for split in named]
    return _from_rows(text, name or "parquet", *parts)


def from_hub(text: str) -> Dataset:
    """List the images of ``OWNER/NAME[:CONFIG]`` on the Hub, downloaded into its own cache.

    Raises:
        DataError: as `from_parquet` does, or if it is no such name or cannot be fetched.
        MissingExtraError: if `datasets` is not installed.

    """
    repository, _, config = text.partition(":")
    # `datasets` would read a local folder of this name.
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository) or Path(repository).exists():
        raise DataError(f"hub:{text}: is not OWNER/NAME on the Hub; a folder is given without hub:")
    name = repository.split("/")[-1]
    return _from_rows(f"hub:{text}", name, {"path": repository, "name": config or None})


def _from_rows(text: str, short_name: str, *parts: dict[str, Any]) -> Dataset:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("reading Parquet files and the Hub", "data") from error
    loaded: dict[str, Any] = {}
    try:
        for options in parts:
            loaded |= datasets.load_dataset(**options)
    except Exception as error:  # pyarrow, fsspec, httpx: each has its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{text}: cannot be read ({reason})") from error
    splits = {
        split: _labelled(text, split, rows, datasets)
        for split, rows in _rows_by_split(text, loaded, datasets).items()
    }
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
    return Dataset(short_name, classes, splits)


def _labelled(text: str, split: str, rows: Any, datasets: Any) -> LabelledImages:
    """The labelled rows of a split, with its own classes; possibly none."""
    image, label = _columns(text, rows.features, datasets)
    column = rows.select_columns(label).with_format("arrow")[:][label]
    if isinstance(rows.features[label], datasets.ClassLabel):
        classes, labels = tuple(rows.features[label].names), column.fill_null(-1).to_numpy()
    else:
        values = column.to_pylist()
        # As in a ClassLabel, -1 is no label. Numbers are sorted by value: 2 before 10.
        ordered = sorted({*values} - {None, -1})
        classes = tuple(map(str, ordered))
        number = {value: i for i, value in enumerate(ordered)}
        labels = np.array([number.get(value, -1) for value in values])
    unlabelled = int((labels == -1).sum())
    if unlabelled == len(labels):
        log.warning("%s: %s has no labelled images and is left out", text, split)
    elif labels.min() < -1 or labels.max() >= len(classes):
        raise DataError(f"{text}: {split} has labels that are no class")
    elif unlabelled and split in ("train", FLAT):
        raise DataError(f"{text}: {split} has images without a label (null or -1)")
    elif unlabelled:
        log.warning(
            "%s: images of %s that have no label and are left out: %d", text, split, unlabelled
        )
    if isinstance(rows.features[image], datasets.Image):
        rows = rows.cast_column(image, datasets.Image(decode=False))
    downloads = Path(datasets.config.DOWNLOADED_DATASETS_PATH) if text.startswith("hub:") else None
    images = LabelledImages(ArrowStore(rows, image, split, downloads), classes, labels)
    return images.subset(np.flatnonzero(images.labels >= 0))


def _used(images: LabelledImages) -> list[str]:
    return [name for name, count in images.counts().items() if count]


def _rows_by_split(text: str, loaded: dict[str, Any], datasets: Any) -> dict[str, Any]:
    """The rows by split: under the names that `Dataset` uses, or as one if no name is known."""
    named = {given: split_of(given) for given in loaded}
    # Beside `validation`, `dev` is a split of its own.
    others = [given for given, split in named.items() if not split or given != split in loaded]
    if len(others) == len(loaded):
        listed = ", ".join(others)
        if len(others) > 1:
            log.warning("%s: %s are not train, validation or test: read as one", text, listed)
        try:
            return {FLAT: datasets.concatenate_datasets(list(loaded.values()))}
        except ValueError as error:
            raise DataError(f"{text}: {listed} differ in columns or classes") from error
    splits: dict[str, Any] = {}
    for given, rows in loaded.items():
        split = "all-images" if given == FLAT else given
        split = split if given in others else named[given] or split
        if split in splits:
            raise DataError(f"{text}: two of its splits are used as {split}: {', '.join(loaded)}")
        splits[split] = rows
    if others:
        listed = ", ".join("all-images (its all)" if name == FLAT else name for name in others)
        log.warning("%s: not train, validation or test, used by name only: %s", text, listed)
    return splits


def _columns(text: str, features: Any, datasets: Any) -> tuple[str, str]:
    """The names of the image column and the label column, found by type, then by name."""
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


def _dtype(kind: Any) -> str:
    return str(getattr(kind, "dtype", ""))
