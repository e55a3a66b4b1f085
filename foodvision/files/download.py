"""Downloads of files whose hash is known: resumed, retried, bounded, verified and locked.

An unfinished download is kept as ``.NAME.part`` beside its destination, and the next run resumes
it. Every failure is one line that also says where to put the file by hand.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from foodvision.errors import DataError
from foodvision.files.read import check_regular
from foodvision.files.web import CHUNK, WebError, open_url, read_some
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each further try."""

TIMEOUT = 30.0
"""Seconds for which the server may be silent."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web and the hash of its content.

    Attributes:
        url: http or https.
        hash_name: ``MD5``; ``git blob id``: SHA-1 of ``blob SIZE``, a zero byte, the content; or
            ``SHA-256 prefix``: the first digits, as in torchvision's file names.
        digest: the hash, in lower-case hexadecimal.
        max_bytes: the file is no larger than this.

    """

    url: str
    hash_name: Literal["MD5", "git blob id", "SHA-256 prefix"]
    digest: str
    max_bytes: int

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[-1]


@contextmanager
def downloaded(file: RemoteFile, folder: Path, spare_bytes: int = 0) -> Iterator[Path]:
    """Give the verified file for `with`; it is removed when the block succeeds.

    A file of that name that the user put into the folder is used instead, and never removed.

    Args:
        file: what to fetch.
        folder: where to keep it meanwhile; must exist.
        spare_bytes: disk space that the block will need in the folder, besides the file.

    Raises:
        DataError: if the file cannot be fetched, has another hash, or there is too little room.
        OSError: if the folder cannot be written to.

    """
    by_hand, fetched = folder / file.name, folder / f".{file.name}"
    with _alone(file, folder):
        if by_hand.exists():
            _check(file, by_hand, by_hand)
            yield by_hand
            return
        part = folder / f".{file.name}.part"
        missing = 0 if fetched.exists() else file.max_bytes - _size(part)
        free = shutil.disk_usage(folder).free
        if free < missing + spare_bytes:
            raise DataError(
                f"{folder}: {file.name} needs {_amount(missing + spare_bytes)} of disk space and "
                f"{_amount(free)} are free; make room or choose a folder on another disk"
            )
        if not fetched.exists():
            _Transfer(file, part, by_hand).run()
            part.rename(fetched)
        _check(file, fetched, by_hand)
        yield fetched
        fetched.unlink(missing_ok=True)


def fetch(file: RemoteFile, folder: Path) -> Path:
    """The verified file, which stays in the folder; downloaded if it is not there yet.

    Raises:
        DataError: as `downloaded` does.
        OSError: likewise.

    """
    path = folder / file.name
    if path.exists():  # no lock: the folder may be read-only
        _check(file, path, path)
        return path
    with downloaded(file, folder) as fetched:
        return fetched.replace(path)


@contextmanager
def _alone(file: RemoteFile, folder: Path) -> Iterator[None]:
    """Let one process or thread at a time fetch a file into a folder; the others wait."""
    lock = FileLock(folder / f".{file.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.warning("%s: another process is fetching it; waiting", file.name)
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not remove a file that others have open
            Path(lock.lock_file).unlink()  # before the release, so that waiters notice
        lock.release()


def _check(file: RemoteFile, path: Path, by_hand: Path) -> None:
    """Raise DataError if the hash is wrong; a wrong file that was fetched is removed."""
    found = _digest(path, file.hash_name)[: len(file.digest)]
    if found == file.digest:
        return
    if path == by_hand:
        raise DataError(
            f"{path}: its {file.hash_name} is {found}, not {file.digest}; "
            "remove it or put the right file there"
        )
    size = path.stat().st_size
    path.unlink()
    raise DataError(
        f"{file.url}: sent another file ({size:,} bytes, {file.hash_name} {found}), which is "
        f"removed; {_way_out(file, by_hand)}"
    )


def _way_out(file: RemoteFile, by_hand: Path) -> str:
    return (
        f"try again, or put the file with {file.hash_name} {file.digest}, at most "
        f"{_amount(file.max_bytes)}, at {by_hand} yourself and run this again"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _digest(path: Path, hash_name: str) -> str:
    size = check_regular(path).stat().st_size
    if hash_name == "MD5":
        digest = hashlib.md5(usedforsecurity=False)
    elif hash_name == "SHA-256 prefix":
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as content, progress_bar("bytes") as bar:
        task = bar.add_task("checking", total=size, info="")
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            bar.advance(task, len(chunk))
    return digest.hexdigest()


@dataclass
class _Transfer:
    """The tries at one file; `part` collects what they bring."""

    file: RemoteFile
    part: Path
    by_hand: Path
    reached: bool = False  # has the server answered at all?
    etag: str = ""  # the version that `part` is of, as far as this run knows

    def run(self) -> None:
        """Try until `part` is complete."""
        with progress_bar("bytes") as bar:
            task = bar.add_task(self.file.name, total=None, info="")
            for pause in (*PAUSES, None):
                try:
                    return self.receive(partial(bar.update, task, info=""))
                except WebError as error:
                    # If no try has reached the server, there is most likely no network.
                    if not error.temporary or not (self.reached or error.answered):
                        raise self.failed(str(error)) from error
                    self.reached = True
                    if pause is None:
                        kept = f" ({_amount(size)} are kept)" if (size := _size(self.part)) else ""
                        tries = len(PAUSES) + 1
                        raise self.failed(f"{error}, {tries} times{kept}") from error
                    bar.update(task, info=f"{error}; next try in {pause:.0f} s")
                time.sleep(pause)

    def failed(self, reason: str) -> DataError:
        return DataError(f"{self.file.url}: {reason}; {_way_out(self.file, self.by_hand)}")

    def receive(self, show: Callable[..., None]) -> None:
        """Ask for what is missing and append it; start again if only the whole is to be had."""
        size = _size(self.part)
        if (response := self.ask(size)) is None:
            return
        with response:
            self.reached = True
            if response.status == http.client.PARTIAL_CONTENT:
                if not response.headers.get("Content-Range", "").startswith(f"bytes {size}-"):
                    self.part.unlink(missing_ok=True)
                    raise WebError(
                        "the server sent a different part of the file than requested", True
                    )
            else:
                size = 0
            self.etag = response.headers.get("ETag", "")
            total = None if response.length is None else size + response.length
            if total is not None and total < _size(self.part):
                raise WebError("the server sent something other than the file", True)
            if (total or 0) > self.file.max_bytes:
                raise self.too_large()
            with self.part.open("ab" if size else "wb") as part:
                while size <= self.file.max_bytes and (chunk := read_some(response, TIMEOUT)):
                    part.write(chunk)
                    size += len(chunk)
                    show(completed=size, total=total)
        if size > self.file.max_bytes:
            self.part.unlink()
            raise self.too_large()
        if total is not None and size < total:
            raise WebError("the connection broke off", True)

    def ask(self, size: int) -> http.client.HTTPResponse | None:
        """The response to a request for everything after `size` bytes; None if that is nothing."""
        headers = {"Range": f"bytes={size}-"} if size else {}
        if size and self.etag.startswith('"'):  # a weak one does not promise the same bytes
            headers["If-Range"] = self.etag
        try:
            return open_url(self.file.url, TIMEOUT, headers)
        except WebError as error:
            if error.status != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            if error.content_range == f"bytes */{size}":
                return None
            self.part.unlink(missing_ok=True)
            raise WebError("the file has changed on the server", True) from error

    def too_large(self) -> DataError:
        return self.failed(f"sends more than the allowed {_amount(self.file.max_bytes)}")
