"""Parquet files to stream, of the patterns that the other tests learn."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foodvision.data import stream_store
from tests.conftest import CLASSES, draw_pattern

ROWS = 8
"""Of a row group."""


def images(first: int, number: int) -> list[tuple[bytes, str]]:
    """Encoded images of all classes in turn, and their classes."""
    found = []
    for seed in range(first, first + number):
        label, buffer = CLASSES[seed % len(CLASSES)], io.BytesIO()
        draw_pattern(label, seed).save(buffer, "PNG")
        found.append((buffer.getvalue(), label))
    return found


def write(path: Path, rows: list[tuple[bytes | None, str]], group: int = ROWS) -> None:
    """One file, with the columns that `datasets` writes."""
    table = {
        "image": [{"bytes": content, "path": None} for content, _ in rows],
        "label": [label for _, label in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path, row_group_size=group)


def write_stream(folder: Path, bad: tuple[int, ...] = ()) -> str:
    """Two files of 44 and 46 training images, one of 12 to validate on, and its address.

    Row groups have 8 rows, the last ones fewer. The test split is a file that cannot be read.

    Args:
        folder: that the files are written to.
        bad: training images that cannot be opened.

    """
    rows: list[tuple[bytes | None, str]] = [*images(0, 90)]
    for i in bad:
        rows[i] = b"no image", rows[i][1]
    write(folder / "train-00000-of-00002.parquet", rows[:44])
    write(folder / "train-00001-of-00002.parquet", rows[44:])
    write(folder / "validation.parquet", [*images(1000, 12)])
    (folder / "test.parquet").write_bytes(b"never to be opened")
    return f"file://{folder}"


@dataclass
class Held:
    """How many row groups are in memory, and the most that were."""

    now: int = 0
    peak: int = 0


def count_held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Count them from now on."""
    held, read_images = Held(), stream_store.read_images

    class Counted(list):  # type: ignore[type-arg]
        def __del__(self) -> None:
            held.now -= 1

    def read(*place: Any) -> Counted:
        held.now += 1
        held.peak = max(held.peak, held.now)
        return Counted(read_images(*place))

    monkeypatch.setattr(stream_store, "read_images", read)
    return held


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """File and number of each row group that is read."""
    found: list[tuple[str, int]] = []

    def counted(file: str, group: int, *rest: Any) -> Any:
        found.append((file.rpartition("/")[2], group))
        return read(file, group, *rest)

    read = stream_store.read_images
    monkeypatch.setattr(stream_store, "read_images", counted)
    return found
