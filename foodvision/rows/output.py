"""Rows come in one by one and are written as they come: lines, JSON, or a table on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from foodvision.errors import FoodvisionError
from foodvision.progress import progress_bar
from foodvision.rows.parquet_table import ParquetTable
from foodvision.rows.row import Row, shown
from foodvision.rows.table import Columns, Table
from foodvision.rows.text_table import CsvTable, JsonlTable
from foodvision.text import to_json

log = logging.getLogger(__name__)

Answer = TypeVar("Answer", bound=Row)


def open_table(out: Path, resume: bool = False) -> Table:
    """The table of a path, once it is clear that it can be written; nothing is written yet.

    Raises:
        FoodvisionError: if the name is that of a file of another format, a folder for Parquet
            files is not empty, or there is (no) interrupted run, against `resume`.
        MissingExtraError: if pyarrow is needed and is not installed.

    """
    formats: dict[str, Callable[[Path], Table]] = {".csv": CsvTable, ".jsonl": JsonlTable}
    table = formats.get(out.suffix, ParquetTable)(out)
    table.check()
    begun = table.is_begun()
    if resume and not begun:
        raise FoodvisionError(f"{out}: there is no interrupted run; leave --resume out")
    if begun and not resume:
        raise FoodvisionError(
            f"{table.growing}: holds rows of an interrupted run; continue it with --resume, or "
            "delete it"
        )
    return table


def to_table(
    rows: Iterable[Answer],
    total: int,
    doing: str,
    table: Table,
    columns: Columns,
    cells: Callable[[Answer], Mapping[str, Any]],
    as_json: bool = False,
) -> None:
    """Add each row to a table as it comes, and finish the table; the rest is as in `to_stdout`.

    Args:
        rows: those after `table.rows`.
        total: number of rows, with those that the table has.
        doing: what the progress bar says.
        table: where they go.
        columns: of the table.
        cells: a row's value in each column; a JSONL file has further ones as well.
        as_json: print these rows as well, as one JSON document.

    Raises:
        FoodvisionError: if the table cannot be written, or if no image at all could be opened.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped the writing.

    """
    watched = _Watched(rows, total, doing, table.rows, table.failed)
    table.write(map(cells, _beside(watched) if as_json else watched), columns)
    watched.summarise()


def to_stdout(
    rows: Iterable[Answer],
    total: int,
    doing: str,
    as_json: bool,
    line: Callable[[Answer], str],
) -> None:
    """Print each row as it comes; those without an image are counted, and logged as lines.

    Args:
        rows: all of them.
        total: their number.
        doing: what the progress bar says.
        as_json: one JSON document, whose rows are not held in memory.
        line: what is printed of a row otherwise.

    Raises:
        FoodvisionError: if no image at all could be opened.

    """
    watched = _Watched(rows, total, doing)
    if as_json:
        for _ in _printed(watched):
            pass
    else:
        for row in watched:
            if not row.error:
                print(line(row))
            elif total > 1:  # a single one ends the command with this line
                log.warning("%s: %s", shown(row.path), row.error)
    watched.summarise()


def _printed(rows: Iterable[Answer]) -> Iterator[Answer]:
    """Print each row as it passes: one JSON document."""
    before = "["
    for row in rows:
        print(before, to_json(row.to_dict()), sep="", end="")
        before = ",\n"
        yield row
    print("[]" if before == "[" else "]")


def _beside(rows: Iterable[Answer]) -> Iterator[Answer]:
    """The same, beside a table, which must not be blamed."""
    try:
        yield from _printed(rows)
    except BrokenPipeError as error:
        raise FoodvisionError(
            "stdout was closed before --json ended; for the rest of the table, give the same "
            "command and --resume"
        ) from error


class _Watched(Iterator[Answer]):
    """The rows, with a progress bar; it counts those without an image."""

    def __init__(
        self, rows: Iterable[Answer], total: int, doing: str, done: int = 0, failed: int = 0
    ) -> None:
        self._total, self._failed, self._first = total, failed, ""
        self._rows = self._watch(rows, doing, done)

    def __next__(self) -> Answer:
        return next(self._rows)

    def _watch(self, rows: Iterable[Answer], doing: str, done: int) -> Iterator[Answer]:
        with progress_bar() as bar:
            task = bar.add_task(doing, total=self._total, completed=done, unit="images", info="")
            for row in rows:
                bar.advance(task)
                if row.error:
                    self._failed += 1
                    self._first = self._first or f"{shown(row.path)}: {row.error}"
                yield row

    def summarise(self) -> None:
        """Say how many images could not be opened; if that is all of them, it is an error."""
        if self._failed and self._failed == self._total:
            reason = "no image can be opened" + (f"; {self._first}" if self._first else "")
            raise FoodvisionError(self._first if self._first and self._total == 1 else reason)
        if self._failed:
            log.warning("%d of %d images cannot be opened", self._failed, self._total)
