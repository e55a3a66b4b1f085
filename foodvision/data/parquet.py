"""Images in the rows of Parquet files or of a dataset on the Hugging Face Hub.

A glob's files or the name of a repository come in; a `Dataset` goes out. The images stay encoded
until `open_image` opens them.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.data.dataset import FLAT, SPLIT_NAMES, ArrowStore, Dataset, LabelledImages
from foodvision.errors import DataError, MissingExtraError

log = logging.getLogger(__name__)


def from_parquet(text: str, files: list[Path]) -> Dataset:
    """List the images in Parquet files.

    Args:
        text: what the user typed, for messages.
        files: named ``train-*``, ``validation-*`` and ``test-*``, or all of them otherwise.

    Raises:
        DataError: if the files cannot be read or have no columns of images and labels.
        MissingExtraError: if `datasets` is not installed.

    """
    if not files:
        raise DataError(f"{text}: no such Parquet file")
    named: dict[str, list[str]] = defaultdict(list)
    for file in files:
        prefix = file.name.removesuffix(".parquet").split("-")[0].lower()
        named[SPLIT_NAMES.get(prefix, "flat")].append(str(file))  # "all" is taken by datasets
    if "flat" in named and len(named) > 1:
        raise DataError(
            f"{text}: some files are named after splits, but not {Path(named['flat'][0]).name}"
        )
    name = Path(text).stem if "*" not in text else Path(text).parent.name
    return _from_rows(text, name or "parquet", path="parquet", data_files=dict(named))


def from_hub(text: str) -> Dataset:
    """List the images of ``OWNER/NAME[:CONFIG]`` on the Hub, downloaded into its own cache.

    Raises:
        DataError: as `from_parquet` does, or if it cannot be fetched.
        MissingExtraError: if `datasets` is not installed.

    """
    repository, _, config = text.partition(":")
    name = repository.split("/")[-1]
    return _from_rows(f"hub:{text}", name, path=repository, name=config or None)


def _from_rows(text: str, short_name: str, /, **options: Any) -> Dataset:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("reading Parquet files and the Hub", "data") from error
    try:
        loaded = datasets.load_dataset(**options)
    except Exception as error:  # pyarrow, fsspec, httpx: each has its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{text}: cannot be read ({reason})") from error
    found: dict[str, tuple[ArrowStore, np.ndarray]] = {}
    classes: tuple[str, ...] = ()
    for split, rows in _rows_by_split(text, loaded, datasets).items():
        image, label = _columns(text, rows.features, datasets)
        column = rows.select_columns(label).with_format("arrow")[:][label]
        if isinstance(rows.features[label], datasets.ClassLabel):
            classes, values = tuple(rows.features[label].names), column.fill_null(-1).to_numpy()
        else:
            values = np.array(column.to_pylist(), dtype=object)
            classes = tuple(sorted({*classes, *values} - {None}))
        rows = rows.cast_column(image, datasets.Image(decode=False))
        found[split] = (ArrowStore(rows, image, split), values)
    images: dict[str, LabelledImages] = {}
    for split, (store, values) in found.items():
        if values.dtype == object:
            number = {name: i for i, name in enumerate(classes)}
            values = np.array([number.get(value, -1) for value in values])
        if (values == -1).all():
            log.warning("%s: %s has no labelled images and is left out", text, split)
        elif values.min() < 0 or values.max() >= len(classes):
            raise DataError(f"{text}: {split} has images without a label")
        else:
            images[split] = LabelledImages(store, classes, values)
    if not images:
        raise DataError(f"{text}: no split has labels")
    return Dataset(short_name, classes, images)


def _rows_by_split(text: str, loaded: dict[str, Any], datasets: Any) -> dict[str, Any]:
    """The rows by split: under the names that `Dataset` uses, or as one if no name is known."""
    others = [given for given in loaded if given.lower() not in SPLIT_NAMES]
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
        split = SPLIT_NAMES.get(given.lower(), given)
        if split in splits:
            raise DataError(f"{text}: two of its splits are used as {split}: {', '.join(loaded)}")
        splits[split] = rows
    if others:
        listed = ", ".join(others)
        log.warning("%s: not train, validation or test, used by name only: %s", text, listed)
    return splits


def _columns(text: str, features: Any, datasets: Any) -> tuple[str, str]:
    """The names of the image column and the label column, found by type, then by name."""
    images = [
        key
        for key, kind in features.items()
        if isinstance(kind, datasets.Image) or (isinstance(kind, dict) and "bytes" in kind)
    ]
    labels = [key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    labels = labels or [
        key
        for key in features.keys() & {"label", "class"}
        if getattr(features[key], "dtype", "") in ("string", "large_string")
    ]
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"{text}: needs one column of images and one of labels (ClassLabel, or text named "
            f"'label'); it has {', '.join(features)}"
        )
    return images[0], labels[0]
