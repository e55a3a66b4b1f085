"""Images in the rows of Parquet files or of a dataset on the Hugging Face Hub.

A glob's files or the name of a repository come in; a `Dataset` goes out. The images stay encoded
until `open_image` opens them.
"""

from __future__ import annotations

import glob
import logging
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.data.columns import (
    files_by_split,
    find_columns,
    read_labels,
    with_common_classes,
)
from foodvision.data.dataset import FLAT, Dataset, LabelledImages, split_of
from foodvision.data.stores import ArrowStore
from foodvision.errors import DataError, MissingExtraError
from foodvision.text import is_hub_id

log = logging.getLogger(__name__)


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
    named = files_by_split(text, [str(file) for file in files])
    name = Path(text).stem if "*" not in text else Path(text).parent.name
    # One by one, or `datasets` would give every split the classes of the first.
    parts = [
        {
            "path": "parquet",
            # "all" is taken by `datasets`, which takes a path for a pattern.
            "data_files": {"flat" if split == FLAT else split: list(map(glob.escape, paths))},
        }
        for split, paths in named.items()
    ]
    return _from_rows(text, name or "parquet", *parts)


def from_hub(text: str) -> Dataset:
    """List the images of ``OWNER/NAME[:CONFIG]`` on the Hub, downloaded into its own cache.

    Raises:
        DataError: as `from_parquet` does, or if it is no such name or cannot be fetched.
        MissingExtraError: if `datasets` is not installed.

    """
    repository, _, config = text.partition(":")
    # `datasets` would read a local folder of this name.
    if not is_hub_id(repository) or Path(repository).exists():
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
    return with_common_classes(text, short_name, splits)


def _labelled(text: str, split: str, rows: Any, datasets: Any) -> LabelledImages:
    """The labelled rows of a split, with its own classes; possibly none."""
    image, label = find_columns(text, rows.features, datasets)
    column = rows.select_columns(label).with_format("arrow")[:][label]
    classes, labels = read_labels(text, split, rows.features[label], column, datasets)
    if isinstance(rows.features[image], datasets.Image):
        rows = rows.cast_column(image, datasets.Image(decode=False))
    downloads = Path(datasets.config.DOWNLOADED_DATASETS_PATH) if text.startswith("hub:") else None
    images = LabelledImages(ArrowStore(rows, image, split, downloads), classes, labels)
    return images.subset(np.flatnonzero(images.labels >= 0))


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
