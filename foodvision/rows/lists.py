"""A file that a user names: an image, or a list of images in CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from foodvision.errors import DataError
from foodvision.files.parquet_images import count_images, is_parquet
from foodvision.files.read import open_csv
from foodvision.files.remote import is_remote
from foodvision.images.source import is_url


def images_in(file: str) -> Iterator[str]:
    """The file itself, the rows of a Parquet file, or the images that a CSV file lists.

    A CSV file has a column ``path``: addresses, URLs, or paths relative to its folder.

    Raises:
        DataError: if a list cannot be read.
        MissingExtraError: if pyarrow is needed and is not installed.

    """
    if is_parquet(file):
        yield from (f"{file}#{row}" for row in range(count_images(file)))
    elif file.lower().endswith(".csv") and not is_remote(file):
        yield from _listed(Path(file))
    else:
        yield file


def _listed(path: Path) -> Iterator[str]:
    try:
        table = open_csv(path)
        if "path" not in (table.fieldnames or ()):
            raise DataError("has no column 'path'")
        for row in table:
            if name := row["path"].strip():
                yield name if is_url(name) or is_remote(name) else str(path.parent / name)
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot be read as a CSV of paths ({reason})") from error
