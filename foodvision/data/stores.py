"""Where the images of a dataset are: files in a folder, or rows of Parquet files.

Row numbers come in; sources for `open_image` go out. A row without an image gives a source that
raises the reason when it is read.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from foodvision.errors import ImageError

Source: TypeAlias = Path | bytes | io.BytesIO
"""An image that is not opened yet."""


class Store(Protocol):
    """Images by row number, not opened yet."""

    def sources(self, rows: Sequence[int]) -> Sequence[Source]:
        """The images at these rows."""

    def name(self, row: int) -> str:
        """The `Example.name` of the image at this row."""


@dataclass(frozen=True)
class FolderStore:
    """Image files below one folder."""

    root: Path
    names: Sequence[str]

    def sources(self, rows: Sequence[int]) -> list[Path]:
        """The paths of the files."""
        return [self.root / self.names[row] for row in rows]

    def name(self, row: int) -> str:
        """The path below the root, with forward slashes."""
        return self.names[row]


@dataclass(frozen=True)
class ArrowStore:
    """Rows of a Hugging Face dataset whose images are still encoded.

    Attributes:
        rows: the `datasets.Dataset`.
        column: name of the column of images.
        split: name of the split, for `name`.
        downloads: folder to which `datasets` downloads files. A row with a path and no bytes is
            opened only if the path is below this folder: a file of rows can name any path.

    """

    rows: Any
    column: str
    split: str
    downloads: Path | None = None

    def sources(self, rows: Sequence[int]) -> list[Source]:
        """The bytes of the image files, or a source that raises the reason why there are none."""
        return [self._source(image) for image in self.rows[rows][self.column]]

    def name(self, row: int) -> str:
        """Split and row number."""
        return f"{self.split}[{row}]"

    def _source(self, image: bytes | dict[str, Any] | None) -> Source:
        content = image.get("bytes") if isinstance(image, dict) else image
        if content is not None:
            return content
        path = image.get("path") if isinstance(image, dict) else None
        if not path:
            return Unreadable("its row is empty")
        path = Path(os.path.normpath(str(path)))
        if self.downloads and path.is_relative_to(self.downloads):
            return path
        return Unreadable(f"its row has no bytes, only a path, which is not opened: {path}")


class Unreadable(io.BytesIO):
    """Stands for a missing image: reading it raises an `ImageError`."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def read(self, size: int | None = -1) -> bytes:
        """Raise the reason.

        Raises:
            ImageError: always.

        """
        raise ImageError("<row>", self.reason)


class JoinedStore:
    """Rows of several stores, one part after the other.

    Args:
        parts: stores, and which of their rows.

    """

    def __init__(self, parts: Sequence[tuple[Store, np.ndarray]]) -> None:
        self.parts = parts
        self.starts = [0, *accumulate(len(indices) for _, indices in parts)]

    def sources(self, rows: Sequence[int]) -> list[Source]:
        """The images at these rows of all parts."""
        found: list[Source] = []
        for number, places in groupby(map(self._find, rows), key=lambda place: place[0]):
            found += self.parts[number][0].sources([row for _, row in places])
        return found

    def name(self, row: int) -> str:
        """The name in its own store."""
        number, own = self._find(row)
        return self.parts[number][0].name(own)

    def _find(self, row: int) -> tuple[int, int]:
        """The part that a row is in, and the row of that part's store."""
        number = bisect_right(self.starts, row) - 1
        return number, int(self.parts[number][1][row - self.starts[number]])
