"""Reads files that other people wrote: regular files only, of bounded size, and strict JSON.

A FIFO or a device in the place of a file would hang; a file of 10 GB would fill the memory; NaN,
repeated keys and deep nesting are read by Python's parsers without a word, or with a crash.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

MAX_TEXT_BYTES = 64 << 20
"""Of a JSON or TOML file."""

MAX_CSV_BYTES = 192 << 20
"""Of a CSV file: `data split` writes as much for a good million images."""

MAX_HEADER = 10_000
"""Characters in the first line of a CSV file, which names its columns."""


def check_regular(path: str | Path) -> Path:
    """The path, for libraries that open it themselves.

    Raises:
        OSError: if there is no such file, or it is a folder, FIFO, socket or device.

    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return Path(path)


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        OSError: as `check_regular` does, or if it cannot be read.

    """
    return check_regular(path).open("rb")


def read_bytes(path: str | Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises:
        OSError: as `open_regular` does, or if it is larger.

    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit / 1e6:,.0f} MB", str(path))
    return content


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file; bytes that are not UTF-8 become lone surrogates.

    Raises:
        OSError: as `read_bytes` does.

    """
    return read_bytes(path).decode("utf-8", "surrogateescape")


def read_json(path: str | Path) -> Any:
    """The content of a JSON file, strictly: no NaN, no infinity, no repeated key.

    Raises:
        OSError: as `read_bytes` does.
        ValueError: saying in one line what is wrong with the content.

    """
    return parse_json(read_bytes(path))


def parse_json(content: bytes | str) -> Any:
    """As `read_json`, from bytes or text.

    Raises:
        ValueError: as `read_json` does.

    """
    try:
        return json.loads(
            content, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_unique
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_toml(path: str | Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        OSError: as `read_bytes` does.
        ValueError: saying in one line what is wrong with the content.

    """
    try:
        return tomllib.loads(read_bytes(path).decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def open_csv(path: str | Path) -> csv.DictReader[str]:
    """The rows of a CSV file; commas, semicolons or tabs separate the cells.

    Raises:
        OSError: as `read_bytes` does.
        ValueError: if the file is not text, or its first line is too long.
        csv.Error: while the rows are read, if a cell is longer than 131,072 characters.

    """
    content = read_bytes(path, MAX_CSV_BYTES)
    if b"\0" in content:
        raise ValueError("not a text file")
    first_line = io.BytesIO(content).readline(4 * MAX_HEADER).decode("utf-8", "surrogateescape")
    if len(first_line) > MAX_HEADER:
        raise ValueError(f"its first line is longer than {MAX_HEADER:,} characters")
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape", newline="")
    return csv.DictReader(text, restval="", delimiter=max(",;\t", key=first_line.count))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {repeated!r} is there twice")
    return content
