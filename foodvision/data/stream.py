"""Parquet files at an address, such as ``s3://bucket/photos``, as a dataset that is streamed.

An address comes in; a `Dataset` goes out, of which only the files' footers and labels are read.
Their images follow row group by row group when training or evaluation comes to them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from foodvision.data.columns import files_by_split, find_columns, read_labels, with_common_classes
from foodvision.data.dataset import Dataset, LabelledImages, held_out
from foodvision.data.stores import JoinedStore
from foodvision.data.stream_store import StreamStore
from foodvision.errors import DataError, MissingExtraError
from foodvision.files.parquet_images import is_parquet
from foodvision.files.remote import RemoteError, remote_files
from foodvision.files.row_groups import Outline, read_outline
from foodvision.prefetch import prefetch
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

AHEAD = 64
"""Files whose labels are in memory before they are asked for."""


def from_stream(address: str, test: bool = True) -> Dataset:
    """List the images of Parquet files at an address.

    Args:
        address: see `foodvision.files.remote`: of a file, a folder, or a glob. Files are named as
            for `from_parquet`.
        test: False opens no file of the split that is held out; the dataset then has none of its
            images.

    Raises:
        DataError: if there are no Parquet files, one cannot be read, or they have no columns of
            images and labels, or several kinds of these.
        MissingExtraError: if `datasets` is not installed.

    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("reading Parquet files and the Hub", "data") from error
    try:
        files = [file for file in remote_files(address) if is_parquet(file)]
    except RemoteError as error:
        raise DataError(f"{address}: {error}") from error
    if not files:
        raise DataError(
            f"{address}: no Parquet files (*.parquet); nothing else can be streamed, so copy other "
            "images to a disk and give their folder"
        )
    named = files_by_split(address, files)
    closed = None if test else held_out(named)
    if named.keys() == {closed}:
        raise DataError(f"{address}: has no training images, only {closed}")
    splits = {}
    for split, of_split in named.items():
        if split == closed:
            log.info("%s split: files that training does not open: %d", split, len(of_split))
            splits[split] = LabelledImages(JoinedStore([]), (), np.empty(0))
        else:
            splits[split] = _labelled(address, _root(files), split, of_split, datasets)
    parts = [part for part in PurePosixPath(address).parts if "*" not in part]
    return with_common_classes(address, PurePosixPath(parts[-1]).stem, splits)


def _labelled(
    address: str, root: str, split: str, files: Sequence[str], datasets: Any
) -> LabelledImages:
    """The labelled rows of a split, with its own classes."""
    import pyarrow as pa

    def kinds(file: str, schema: Any) -> tuple[str, str, Any]:
        features = datasets.Features.from_arrow_schema(schema)
        image, label = find_columns(file, features, datasets)
        return image, label, features[label]

    outlines: list[Outline] = []
    with progress_bar() as bar:
        task = bar.add_task("listing", total=len(files), unit="files", info="")
        for outline in prefetch(
            lambda file: read_outline(file, lambda schema: kinds(file, schema)[1]), files, AHEAD
        ):
            outlines.append(outline)
            bar.advance(task)
    first = kinds(files[0], outlines[0].schema)
    for file, outline in zip(files, outlines, strict=True):
        if kinds(file, outline.schema) != first:
            raise DataError(f"{file}: has other columns or classes than {files[0]}")
    image, _, kind = first
    column = pa.chunked_array([chunk for outline in outlines for chunk in outline.column.chunks])
    classes, labels = read_labels(address, split, kind, column, datasets)
    store = StreamStore(
        root,
        tuple(file.removeprefix(root) for file in files),
        image,
        file_of=np.repeat(np.arange(len(files)), [len(outline.rows) for outline in outlines]),
        rows_of=np.array([rows for outline in outlines for rows in outline.rows], np.int64),
        largest=max(outline.largest for outline in outlines),
    )
    images = LabelledImages(store, classes, labels)
    return images.subset(np.flatnonzero(images.labels >= 0))


def _root(files: Sequence[str]) -> str:
    """The address of the innermost folder that has all files."""
    folder = files[0].rpartition("/")[0]
    while not all(file.startswith(f"{folder}/") for file in files):
        folder = folder.rpartition("/")[0]
    return f"{folder}/"
