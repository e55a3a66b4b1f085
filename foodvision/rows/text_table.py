"""CSV and JSONL files of rows, which take their name when they are finished.

Until then the rows are in ``F.csv.partial``. Each is in the file as soon as it is computed, so kill
-9 loses none; what follows the last whole row is cut when the run is resumed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from foodvision.files.atomic import check_writable, put_in_place
from foodvision.rows.table import Columns, Table
from foodvision.text import to_cell, to_json

SYNC_SECONDS = 5.0
"""A power cut may lose the rows of the last seconds."""


class _TextTable(Table):
    """A file of lines, the first of which may be a header."""

    def __init__(self, out: Path) -> None:
        out = out.resolve() if out.is_symlink() else out  # the link stays
        growing = out.with_name(f"{out.name}.partial")
        super().__init__(out, growing, out.with_name(f".{growing.name}.json"))
        self._end = 0  # of the last whole row, in bytes
        self._buffer = io.StringIO(newline="")

    def check(self) -> None:
        """See `Table.check`."""
        check_writable(self.out)

    def _write(self, rows: Iterator[Mapping[str, Any]], columns: Columns) -> None:
        with self.growing.open("ab") as file:
            file.truncate(self._end)
            synced = time.monotonic()
            if not self._end:
                file.write(self._header(columns))
            for row in rows:
                file.write(self._row(row, columns))
                file.flush()  # whole rows alone reach the file
                self.rows += 1
                if time.monotonic() > synced + SYNC_SECONDS:
                    os.fsync(file.fileno())
                    synced = time.monotonic()
        put_in_place(self.growing, self.out)

    def _lines(self, quoted: bool) -> Iterator[bytes]:
        """Whole rows; a row of a CSV file may have several lines within quotes."""
        with self.growing.open("rb") as file:
            row = b""
            for line in file:
                row += line
                if row.endswith(b"\n") and not (quoted and row.count(b'"') % 2):
                    yield row
                    self._end += len(row)
                    row = b""

    def _remove(self) -> None:
        self.growing.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def _header(self, columns: Columns) -> bytes:
        return b""

    @abstractmethod
    def _row(self, row: Mapping[str, Any], columns: Columns) -> bytes: ...


class JsonlTable(_TextTable):
    """The columns of the other tables, and whatever else a row has."""

    def _row(self, row: Mapping[str, Any], columns: Columns) -> bytes:
        return (to_json(row) + "\n").encode()

    def _kept(self) -> Iterator[tuple[str, bool]]:
        for line in self._lines(quoted=False):
            content = json.loads(line)
            yield content["path"], content["error"] is not None

    def _cell(self, name: str) -> str:
        return name


class CsvTable(_TextTable):
    """Cells that no spreadsheet runs as a formula."""

    def _header(self, columns: Columns) -> bytes:
        return self._csv(columns)

    def _row(self, row: Mapping[str, Any], columns: Columns) -> bytes:
        cells = (row[name] for name in columns)
        return self._csv(to_cell(cell) if isinstance(cell, str) else cell for cell in cells)

    def _csv(self, cells: Iterable[Any]) -> bytes:
        self._buffer.seek(0)
        self._buffer.truncate()
        csv.writer(self._buffer).writerow(cells)
        return self._buffer.getvalue().encode("utf-8", "surrogateescape")

    def _kept(self) -> Iterator[tuple[str, bool]]:
        lines = (row.decode("utf-8", "surrogateescape") for row in self._lines(quoted=True))
        reader = csv.reader(lines)
        header = next(reader, [])
        for cells in reader:
            yield cells[header.index("path")], cells[header.index("error")] != ""

    def _cell(self, name: str) -> str:
        return to_cell(name)
