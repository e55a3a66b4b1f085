"""Files at addresses such as ``s3://bucket/photo.jpg``, listed and read through fsspec.

What a user typed comes in; addresses of files, or their bytes, go out. Which libraries an address
needs (s3fs, gcsfs, …) and where its credentials are is fsspec's matter. `web` reads http(s).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, BinaryIO, TypeVar

from foodvision.errors import DataError, FoodvisionError

log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each further try."""

_LASTING = (FileNotFoundError, PermissionError, ImportError, ValueError)
"""What another try does not change. What pyarrow finds invalid is a ValueError."""

T = TypeVar("T")

_ADDRESS = re.compile(
    r"(s3a?|gcs|gs|abfss?|az|hf|file|memory)://(?!.*::)", re.IGNORECASE | re.DOTALL
)
"""Stores alone. A list may come from others, and fsspec's chained and referenced files, or its own
http and ftp without a limit, could be made to read anything."""


class RemoteError(DataError):
    """Why a remote file cannot be listed or read; the text does not name it."""


def is_remote(text: str) -> bool:
    """Whether a text is such an address, rather than a path or an http(s) URL."""
    return _ADDRESS.match(text) is not None


def remote_files(text: str) -> Iterator[str]:
    """The files that an address stands for: itself, those of a folder, or those of a glob.

    A folder's files are sorted and include those of its subfolders, without hidden ones. The names
    of one folder are in memory at a time.

    Raises:
        RemoteError: if there is no such file or folder, or it cannot be listed.

    """
    with _explained():
        from fsspec.core import url_to_fs

        system, path = url_to_fs(text, use_listings_cache=False)
        if not system.isdir(path):
            if "*" in path:
                yield from map(system.unstrip_protocol, sorted(system.glob(path)))
            elif system.exists(path):
                yield text
            else:
                raise FileNotFoundError(path)
            return
        yield from map(system.unstrip_protocol, _files_below(system, path))


def _files_below(system: Any, folder: str) -> Iterator[str]:
    """As `walk` of fsspec, which leaves out what it cannot list without a word."""
    folders = []
    for entry in sorted(system.ls(folder, detail=True), key=itemgetter("name")):
        name = entry["name"].rstrip("/")
        if name == folder.rstrip("/") or name.rpartition("/")[2].startswith("."):
            continue  # some stores have an entry for the folder itself
        if entry["type"] == "directory":
            folders.append(name)
        else:
            yield name
    for name in folders:
        yield from _files_below(system, name)


def open_remote(address: str) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        RemoteError: if it cannot be opened.

    """
    with _explained():
        import fsspec

        return fsspec.open(address, "rb").open()


def read_remote(address: str, limit: int) -> bytes:
    """The content of a file, or the first `limit` bytes of it.

    Raises:
        RemoteError: if it cannot be read.

    """
    with _explained(), open_remote(address) as file:
        return file.read(limit)


def open_parts(address: str) -> BinaryIO:
    """Open a file to read parts of it: no store's library fetches more than these.

    Raises:
        RemoteError: if it cannot be opened.

    """
    with _explained():
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address)
        return system.open(path, "rb", cache_type="none")


def retried(address: str, read: Callable[[], T]) -> T:
    """What a call returns that reads a file; an interrupted one is tried again for 15 seconds.

    Args:
        address: of the file, to log.
        read: what reads it.

    Raises:
        RemoteError: if it still fails, or fails for a reason that time does not change.

    """
    for pause in PAUSES:
        try:
            with _explained():
                return read()
        except RemoteError as error:
            if isinstance(error.__cause__, _LASTING):
                raise
            log.info("%s: %s; next try in %.0f s", address, error, pause)
        time.sleep(pause)
    with _explained():
        return read()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except FoodvisionError:
        raise
    except FileNotFoundError as error:
        raise RemoteError("no such file or folder") from error
    except Exception as error:  # each store's library has its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RemoteError(f"cannot be read ({reason})") from error
