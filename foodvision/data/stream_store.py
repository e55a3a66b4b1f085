"""Images in Parquet files that stay where they are: read one row group at a time, when needed.

Row numbers come in, batch by batch; the encoded images go out in that order. Only the row groups
that a batch draws from are in memory, and those that are read ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from foodvision.data.stores import Source, Unreadable
from foodvision.files.parquet_images import encoded
from foodvision.files.row_groups import read_images
from foodvision.prefetch import prefetch

READ_AHEAD = 2
"""Row groups that are read before they are needed, where images are read in their order."""


@dataclass(frozen=True, eq=False)
class StreamStore:
    """The rows of Parquet files at addresses, numbered from the first file to the last.

    Attributes:
        root: what the addresses of all files begin with.
        files: their names below it.
        column: name of the column of images.
        file_of: of each row group, the index of its file; int64 of shape (groups,).
        rows_of: of each row group, the number of its rows; likewise.
        largest: bytes of the largest row group.

    """

    root: str
    files: Sequence[str]
    column: str
    file_of: np.ndarray
    rows_of: np.ndarray
    largest: int

    def sources(self, rows: Sequence[int]) -> list[Source]:
        """The bytes of the image files, or a source that raises the reason why there are none."""
        groups = self.groups_of(np.asarray(rows)).tolist()
        return [
            self._source(_last_read(self, group), group, row)
            for group, row in zip(groups, rows, strict=True)
        ]

    def in_batches(
        self, batches: Sequence[np.ndarray], ahead: int = READ_AHEAD
    ) -> Iterator[list[Source]]:
        """The same for one batch of rows after the other, and the next row groups read meanwhile.

        In memory are the row groups that a batch draws from, and at most `ahead` more. A row group
        is read again if batches without it lie between.

        Raises:
            DataError: if a row group cannot be read.

        """
        held: dict[int, Any] = {}
        with closing(prefetch(self.read_group, self._visits(batches), ahead + 1)) as reading:
            for rows in batches:
                groups = self.groups_of(rows).tolist()
                held = {group: held[group] for group in dict.fromkeys(groups) if group in held}
                for group in dict.fromkeys(groups):
                    if group not in held:
                        held[group] = next(reading)
                yield [
                    self._source(held[group], group, row)
                    for group, row in zip(groups, rows.tolist(), strict=True)
                ]

    def _visits(self, batches: Sequence[np.ndarray]) -> Iterator[int]:
        """The row groups in the order in which `in_batches` needs them."""
        before: dict[int, None] = {}
        for rows in batches:
            needed = dict.fromkeys(self.groups_of(rows).tolist())
            yield from (group for group in needed if group not in before)
            before = needed

    def read_group(self, group: int) -> Any:
        """The images of a row group, as Arrow's ChunkedArray.

        Raises:
            DataError: if it cannot be read.

        """
        file = int(self.file_of[group])
        number = group - int(np.searchsorted(self.file_of, file))
        address = f"{self.root}{self.files[file]}"
        return read_images(address, number, self.column, int(self.rows_of[group]))

    def groups_of(self, rows: np.ndarray) -> np.ndarray:
        """The row group of each row."""
        return np.searchsorted(self._ends, rows, side="right")

    def name(self, row: int) -> str:
        """File and row, ``train-00000.parquet#17``: after the root, what `open_image` takes."""
        file = int(self.file_of[self.groups_of(np.asarray(row))])
        first = int(np.searchsorted(self.file_of, file))
        return f"{self.files[file]}#{row - int(self._ends[first] - self.rows_of[first])}"

    @cached_property
    def _ends(self) -> np.ndarray:
        """Of each row group, the row after its last."""
        return np.cumsum(self.rows_of)

    def _source(self, values: Any, group: int, row: int) -> Source:
        first = int(self._ends[group] - self.rows_of[group])
        content = encoded(values[row - first])
        return Unreadable("its row is empty") if content is None else content


@lru_cache(maxsize=1)
def _last_read(store: StreamStore, group: int) -> Any:
    return store.read_group(group)
