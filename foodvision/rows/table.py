"""A table of rows on disk that survives an interruption; its formats are in other files.

Rows come in one by one. Beside them, until the table is finished, is a record of what they were
computed with: a later run continues where this one stopped, and refuses to mix two models.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from foodvision.errors import FoodvisionError, RunInterruptedError
from foodvision.files.atomic import cannot_write, write_json
from foodvision.files.read import read_json
from foodvision.rows.row import shown

Columns: TypeAlias = Mapping[str, type]
"""The type of each column, by name: str, float or bool. ``path`` and ``error`` are among them."""

_CONTINUE = "continue with the same command and --resume"


class Table(ABC):
    """Rows on disk.

    Attributes:
        out: the finished table.
        growing: holds its rows until then.
        rows: how many there are.
        failed: how many of them have an error.
        backend: what computes them, such as ``openvino/int8``; None if any may.

    """

    backend: str | None = None

    def __init__(self, out: Path, growing: Path, record: Path) -> None:
        self.out, self.growing, self._record = out, growing, record
        self._made_with: dict[str, Any] = {}
        self.rows = self.failed = 0

    def is_begun(self) -> bool:
        """Whether an interrupted run has left rows."""
        return self.growing.exists() and self._record.exists()

    def begin(self, made_with: Mapping[str, Any], names: Iterable[str]) -> None:
        """Note what the rows are computed with; if there are rows, check that it was the same.

        `backend` is set to that of the rows, unless it is given.

        Args:
            made_with: plain values by what an error calls them, such as ``model`` (a checksum).
            names: of the images, in their order.

        Raises:
            FoodvisionError: if one of the values, the backend or the images have changed.

        """
        self._made_with = dict(made_with)
        if not self.is_begun():
            return
        try:
            before = read_json(self._record)
            self.backend = self.backend or before["backend"]
            for key, value in (self._made_with | {"backend": self.backend}).items():
                if before[key] != value:
                    raise FoodvisionError(
                        f"{self.growing}: was begun with another {key}; {self._advice}"
                    )
            self._count_rows(iter(names))
        except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
            raise FoodvisionError(
                f"{self.growing}: is damaged ({error}); delete it and leave --resume out"
            ) from error

    def _count_rows(self, names: Iterator[str]) -> None:
        for path, failed in self._kept():
            name = next(names, None)
            if name is None or self._cell(name) != path:
                now = "no more images" if name is None else shown(name)
                raise FoodvisionError(
                    f"{self.growing}: row {self.rows + 1:,} is {shown(path)}, where the inputs "
                    f"now have {now}; {self._advice}"
                )
            self.rows += 1
            self.failed += failed

    @property
    def _advice(self) -> str:
        return "give what it was begun with, or delete it and leave --resume out"

    def write(self, rows: Iterator[Mapping[str, Any]], columns: Columns) -> None:
        """Add each row as it comes, after the rows that are there; then finish the table.

        Args:
            rows: plain values by column, None where there is none; JSONL keeps further ones.
            columns: those of the table, in their order.

        Raises:
            RunInterruptedError: if Ctrl-C or SIGTERM stopped it.
            FoodvisionError: if it cannot be written, or another process writes it.

        """
        try:
            with self._locked():
                if self.rows and not self.is_begun():
                    raise FoodvisionError(f"{self.out}: another process has finished it")
                write_json(self._record, self._made_with | {"backend": self.backend})
                self._write(rows, columns)
                self._record.unlink()
        except KeyboardInterrupt as error:
            again = "interrupted before the first rows were written; run the same command again"
            if self.rows:
                again = f"interrupted; {self.growing} has {self.rows:,} rows; {_CONTINUE}"
            raise RunInterruptedError(again) from error
        except OSError as error:
            again = f"; fix that, then {_CONTINUE}" if self.rows else ""
            raise FoodvisionError(f"{cannot_write(self.growing, error)}{again}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out; a run that fails before its first row leaves no trace."""
        from filelock import FileLock, Timeout  # a tenth of a second, which printing does not need

        path = self._record.with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise FoodvisionError(
                f"{self.growing}: another process writes it; wait for it to end, or stop it"
            ) from error
        try:
            yield
        except BaseException:
            if not self.rows:
                with suppress(OSError):  # the failure itself is what is reported
                    self._remove()
            raise
        finally:
            with suppress(OSError):  # Windows removes no file that is open
                path.unlink()
            lock.release()

    @abstractmethod
    def check(self) -> None:
        """Raise a FoodvisionError if it cannot be written."""

    @abstractmethod
    def _kept(self) -> Iterator[tuple[str, bool]]:
        """The path of each whole row, and whether it has an error."""

    @abstractmethod
    def _cell(self, name: str) -> str:
        """What the column ``path`` has for a name."""

    @abstractmethod
    def _write(self, rows: Iterator[Mapping[str, Any]], columns: Columns) -> None: ...

    @abstractmethod
    def _remove(self) -> None:
        """Remove a table without rows."""
