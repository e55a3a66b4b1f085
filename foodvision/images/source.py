"""The bytes of an image, wherever it is: in a file, in memory, at an address, in Parquet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from foodvision.errors import FoodvisionError, ImageError
from foodvision.files.parquet_images import is_row, read_row
from foodvision.files.read import open_regular
from foodvision.files.remote import is_remote, read_remote
from foodvision.images.memory import MAX_FILE_BYTES

MAX_DOWNLOAD_BYTES = 50_000_000
MAX_DOWNLOAD_SECONDS = 30.0


def open_source(source: Any, name: str) -> Any:
    """Open the file that a source is, or names, to read its bytes.

    Args:
        source: see `open_image`; not an image that is decoded.
        name: of the source, for messages.

    Raises:
        ImageError: if it cannot be read.

    """
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if isinstance(source, str) and (is_url(source) or is_remote(source) or is_row(source)):
        return io.BytesIO(_content(source))
    if isinstance(source, str | Path):
        return _open_path(Path(source), name)
    if hasattr(source, "read"):
        return io.BytesIO(source.read(MAX_FILE_BYTES + 1))  # a copy: the caller closes the file
    raise ImageError(
        name,
        f"is of type {type(source).__name__}, not a path, URL, bytes, file, PIL image or array",
    )


def is_url(source: object) -> bool:
    """Whether a source is an http(s) URL rather than a path."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def _content(address: str) -> bytes:
    try:
        if is_row(address):
            return read_row(address)
        if is_remote(address):
            return read_remote(address, MAX_FILE_BYTES + 1)
    except FoodvisionError as error:
        raise ImageError(address, str(error)) from error
    from foodvision.files.web import WebError, read_url

    try:
        return read_url(address, MAX_DOWNLOAD_BYTES, MAX_DOWNLOAD_SECONDS)
    except WebError as error:
        raise ImageError(address, str(error)) from error


def _open_path(path: Path, name: str) -> Any:
    try:
        return open_regular(path).detach()  # type: ignore[attr-defined]
    except FileNotFoundError as error:
        raise ImageError(name, "no such file") from error
    except (OSError, ValueError) as error:
        if path.is_dir():
            raise ImageError(name, "is a folder, not an image") from error
        reason = getattr(error, "strerror", None) or error
        raise ImageError(name, f"cannot be read ({reason})") from error
