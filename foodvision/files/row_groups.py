"""Parquet files at addresses, read one row group at a time, so that no disk has to hold them.

An address comes in; the sizes of its row groups and one small column go out, or the images of one
row group. Both are read by their place in the file, and again if the network fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from foodvision.errors import DataError, FoodvisionError
from foodvision.files.parquet_images import MAX_ROWS, read_group
from foodvision.files.remote import RemoteError, open_parts, retried


class Outline(NamedTuple):
    """What a file tells without its images."""

    schema: Any
    """Arrow's."""
    rows: list[int]
    """Of each row group."""
    largest: int
    """Bytes of the largest row group, uncompressed."""
    column: Any
    """The column that was asked for, as Arrow's ChunkedArray."""


def read_outline(address: str, choose: Callable[[Any], str]) -> Outline:
    """Read the footer of a file and one column of it.

    Args:
        address: of the file.
        choose: from Arrow's schema to the name of the column.

    Raises:
        DataError: naming the file, if it cannot be read, or `choose` raises it.

    """

    def read() -> Outline:
        from pyarrow.parquet import ParquetFile

        with open_parts(address) as opened, ParquetFile(opened) as file:
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            rows = [group.num_rows for group in groups]
            if sum(rows) > MAX_ROWS:
                raise DataError(f"says that it has {sum(rows):,} rows; at most {MAX_ROWS:,}")
            column = file.read([choose(file.schema_arrow)], use_threads=False).column(0)
            largest = max((group.total_byte_size for group in groups), default=0)
            return Outline(file.schema_arrow, rows, largest, column)

    return _named(address, read)


def read_images(address: str, group: int, column: str, rows: int) -> Any:
    """A column of images in a row group, as Arrow's ChunkedArray.

    Args:
        address: of the file.
        group: its number in the file.
        column: name of the column.
        rows: that the row group had when the file was listed.

    Raises:
        DataError: naming the file, if it cannot be read, or has changed since it was listed.

    """

    def read() -> Any:
        from pyarrow.parquet import ParquetFile

        with open_parts(address) as opened, ParquetFile(opened) as file:
            groups = file.metadata.num_row_groups
            if group >= groups or file.metadata.row_group(group).num_rows != rows:
                raise DataError("the file has changed since it was listed")
            return read_group(file, group, column)

    return _named(address, read)


def _named(address: str, read: Callable[[], Any]) -> Any:
    try:
        return retried(address, read)
    except RemoteError as error:
        raise RemoteError(f"{address}: {error}") from error
    except FoodvisionError as error:
        raise DataError(f"{address}: {error}") from error
