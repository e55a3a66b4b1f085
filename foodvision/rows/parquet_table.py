"""Rows as a folder of Parquet files; an interruption loses the rows of one at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import chain, count, islice, takewhile
from pathlib import Path
from typing import Any

from foodvision.errors import FoodvisionError, MissingExtraError
from foodvision.files.atomic import cannot_write, replacing
from foodvision.rows.table import Columns, Table

FILE_ROWS, GROUP_ROWS = 10_000, 5_000
"""Rows of a file, and most rows of a row group: so many are in memory."""


class ParquetTable(Table):
    """Files ``part-00000.parquet``, … of `FILE_ROWS` rows: each is whole or not there."""

    def __init__(self, out: Path) -> None:
        super().__init__(out, out, out / ".unfinished.json")

    def check(self) -> None:
        """See `Table.check`."""
        out = self.out
        if out.suffix not in ("", ".parquet") and not out.is_dir():
            raise FoodvisionError(
                f"--out {out}: must end in .csv or .jsonl, or be a folder for Parquet files, whose "
                "name has no suffix"
            )
        if not find_spec("pyarrow"):
            raise MissingExtraError(f"--out {out} (Parquet; .csv and .jsonl do not)", "data")
        try:
            if out.exists() and any(out.iterdir()) and not self.is_begun():
                raise FoodvisionError(f"--out {out}: is not empty; choose another folder")
        except OSError as error:
            raise FoodvisionError(cannot_write(out, error)) from error

    def _write(self, rows: Iterator[Mapping[str, Any]], columns: Columns) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        types = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
        schema = pa.schema([(self._cell(name), types[kind]) for name, kind in columns.items()])
        kept = self.rows // FILE_ROWS
        for stale in takewhile(Path.exists, map(self._part, count(kept))):
            stale.unlink()
        for number in count(kept):
            part = islice(rows, FILE_ROWS)
            first = next(part, None)
            if first is None and number:
                return
            written = 0
            with replacing(self._part(number)) as path, ParquetWriter(path, schema) as writer:
                every = chain([first], part) if first else part
                while group := list(islice(every, GROUP_ROWS)):
                    arrays = [
                        pa.array([self._plain(row[name]) for row in group], types[kind])
                        for name, kind in columns.items()
                    ]
                    writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                    written += len(group)
            self.rows += written

    def _kept(self) -> Iterator[tuple[str, bool]]:
        from pyarrow.parquet import ParquetFile

        for number in count():
            path = self._part(number)
            if not path.exists():
                return
            with ParquetFile(path) as part:
                if part.metadata.num_rows != FILE_ROWS:  # the last one, of another version perhaps
                    return
                for batch in part.iter_batches(columns=["path", "error"]):
                    for row in batch.to_pylist():
                        yield row["path"], row["error"] is not None

    def _part(self, number: int) -> Path:
        return self.out / f"part-{number:05d}.parquet"

    def _cell(self, name: str) -> str:
        r"""Parquet has no lone surrogates: a byte that is not UTF-8 is written as ``\udc80``."""
        return name.encode("utf-8", "backslashreplace").decode()

    def _plain(self, value: Any) -> Any:
        return self._cell(value) if isinstance(value, str) else value

    def _remove(self) -> None:
        self._record.unlink(missing_ok=True)
