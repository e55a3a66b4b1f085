"""Encoded images in the rows of Parquet files: ``photos.parquet#17`` is the image in row 17.

A file, here or remote, comes in; the number of its images, or the bytes of one, go out. Only the
row group in use is in memory, so images are read fast in the order of their rows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from threading import Lock
from typing import Any

from foodvision.errors import DataError, FoodvisionError, MissingExtraError
from foodvision.files.read import check_regular
from foodvision.files.remote import is_remote, open_remote

MAX_GROUP_BYTES = 1 << 30
"""Of the images in a row group, which is read as a whole."""

MAX_ROWS = 100_000_000
"""Of a file."""

_ROW = re.compile(r"(.+\.parquet)#(\d+)", re.IGNORECASE | re.DOTALL)


def is_parquet(file: str) -> bool:
    """Whether the suffix is that of a Parquet file."""
    return file.lower().endswith(".parquet")


def is_row(text: str) -> bool:
    """Whether a text names a row of a Parquet file."""
    return _ROW.fullmatch(text) is not None


def count_images(file: str) -> int:
    """The rows of a Parquet file with a column of images: bytes, or a struct as `datasets` writes.

    Raises:
        DataError: if the file cannot be read, or has not one such column.
        MissingExtraError: if pyarrow is not installed.

    """
    return _images_of(file).number


def read_row(address: str) -> bytes:
    """The image that ``FILE.parquet#ROW`` names, as it is encoded.

    Raises:
        DataError: as `count_images` does, or if there is no such row, or no image in it.
        MissingExtraError: as `count_images` does.

    """
    found = _ROW.fullmatch(address)
    if not found:
        raise ValueError(f"{address} names no row of a Parquet file")
    return _images_of(found[1]).read(int(found[2]))


def read_group(file: Any, group: int, column: str) -> Any:
    """A column of images in a row group, as Arrow's ChunkedArray.

    Args:
        file: an open `ParquetFile`.
        group: its number in the file.
        column: name of the column.

    Raises:
        DataError: if it has more than `MAX_GROUP_BYTES`.

    """
    import pyarrow as pa

    # What the file says of its size may be wrong, or be that of a value that is repeated.
    stated, size, parts = file.metadata.row_group(group).total_byte_size, 0, []
    for rows in file.iter_batches(64, [group], [column], use_threads=False):
        parts.append(rows.column(0))
        size += parts[-1].nbytes
        if max(stated, size) > MAX_GROUP_BYTES:
            raise DataError(
                f"a row group of more than {MAX_GROUP_BYTES:,} bytes; write the file with "
                "smaller row groups"
            )
    return pa.chunked_array(parts)


def encoded(value: Any) -> bytes | None:
    """The file of the image that an Arrow scalar of such a column holds; None if it has none."""
    content = value.as_py()
    return content["bytes"] if isinstance(content, dict) else content


class _Images:
    """The column of images of an open file, read by one thread at a time."""

    def __init__(self, file: str) -> None:
        from pyarrow.parquet import ParquetFile

        self._file = ParquetFile(open_remote(file) if is_remote(file) else check_regular(file))
        self._column = _image_column(self._file.schema_arrow)
        groups = self._file.metadata.num_row_groups
        sizes = (self._file.metadata.row_group(i).num_rows for i in range(groups))
        self._ends = list(accumulate(sizes))
        self.number = self._ends[-1] if self._ends else 0
        if self.number > MAX_ROWS:  # each becomes a name, and empty ones take no space in the file
            raise DataError(f"says that it has {self.number:,} rows; at most {MAX_ROWS:,} are read")
        self._group, self._values = -1, None
        self._lock = Lock()

    def read(self, row: int) -> bytes:
        if row >= self.number:
            raise DataError(f"no such row: the file has {self.number:,}")
        with self._lock:
            group = bisect_right(self._ends, row)
            if group != self._group:
                self._values = read_group(self._file, group, self._column)
                self._group = group
            values: Any = self._values
            value = values[row - (self._ends[group - 1] if group else 0)]
        content = encoded(value)
        if not content:
            raise DataError("there is no image in this row")
        return content


def _images_of(file: str) -> _Images:
    try:
        return _opened(file)
    except FoodvisionError as error:
        raise DataError(str(error)) from error
    except ImportError as error:
        raise MissingExtraError("reading Parquet files", "data") from error
    except Exception as error:  # pyarrow has a dozen types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"cannot be read as Parquet ({reason})") from error


@lru_cache(maxsize=2)  # threads may be ahead, in the next file
def _opened(file: str) -> _Images:
    return _Images(file)


def _image_column(schema: Any) -> str:
    import pyarrow.types as types

    def is_binary(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    def holds_images(kind: Any) -> bool:
        if not types.is_struct(kind):
            return is_binary(kind)
        return any(part.name == "bytes" and is_binary(part.type) for part in kind)

    found = [field.name for field in schema if holds_images(field.type)]
    if len(found) != 1:
        raise DataError(f"needs one column of images; it has {', '.join(schema.names)}")
    return found[0]
