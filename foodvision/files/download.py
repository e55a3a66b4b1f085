"""Fetching a file that is known by its hash: resumed, retried, bounded, and verified before use.

What has come lies beside the place it is for, as ``.NAME.part``, and the next run goes on from
there. Whatever goes wrong is one line that also says where to put the file by hand.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from foodvision.errors import DataError
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between one try and the next."""

TIMEOUT = 30.0
"""Seconds a server may be silent."""

_CHUNK = 1 << 18  # bytes
_TEMPORARY = {408, 425, 429}  # and every 5xx: the answers after which another try makes sense


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web and the hash of what it must hold.

    Attributes:
        url: http or https.
        hash_name: ``MD5``; ``git blob id``: SHA-1 of ``blob SIZE``, a zero byte, the content; or
            ``SHA-256 prefix``: its first digits, as torchvision's file names have them.
        digest: the hash, in lower-case hexadecimal.
        max_bytes: it is no larger than this.

    """

    url: str
    hash_name: Literal["MD5", "git blob id", "SHA-256 prefix"]
    digest: str
    max_bytes: int

    @property
    def name(self) -> str:
        """The file's name, as the URL ends."""
        return self.url.rsplit("/", 1)[-1]


@contextmanager
def downloaded(file: RemoteFile, folder: Path, spare_bytes: int = 0) -> Iterator[Path]:
    """Give the verified file for `with`; it is removed when the block succeeds.

    A file of that name which the user put into the folder is taken instead, and never removed.

    Args:
        file: what to fetch.
        folder: where it lies meanwhile; exists.
        spare_bytes: disk space that the block will need in the folder, besides the file.

    Raises:
        DataError: if the file cannot be fetched, is not what it should be, or the disk is too full.
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
    """The verified file, which stays in the folder; fetched if it is not there yet.

    Raises:
        DataError: as `downloaded` does.
        OSError: likewise.

    """
    path = folder / file.name
    if path.exists():  # perhaps in a folder that cannot be written to, for a lock
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
        with suppress(OSError):  # Windows keeps a file that others have opened
            Path(lock.lock_file).unlink()  # before the release: who waits sees that it is gone
        lock.release()


def _check(file: RemoteFile, path: Path, by_hand: Path) -> None:
    """Raise DataError unless the hash is right; a wrong file that was fetched is removed."""
    found = _digest(path, file.hash_name)[: len(file.digest)]
    if found != file.digest and path == by_hand:
        raise DataError(
            f"{path}: its {file.hash_name} is {found}, not {file.digest}; "
            "remove it or put the right file there"
        )
    if found != file.digest:
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
    size = path.stat().st_size
    if hash_name == "MD5":
        digest = hashlib.md5(usedforsecurity=False)
    elif hash_name == "SHA-256 prefix":
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as content, progress_bar("bytes") as bar:
        task = bar.add_task("checking", total=size, info="")
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            bar.advance(task, len(chunk))
    return digest.hexdigest()


class _BrokeOffError(Exception):
    """One try failed; the next may succeed."""


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https; the standard one goes to ftp as well."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.lower().startswith(("http://", "https://")):
            raise urllib.error.HTTPError(newurl, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Transfer:
    """The tries at one file; what they bring is added up in `part`."""

    def __init__(self, file: RemoteFile, part: Path, by_hand: Path) -> None:
        self.file, self.part, self.by_hand = file, part, by_hand
        self.opener = urllib.request.build_opener(_WebOnly)
        self.reached = False  # has the server answered at all?
        self.etag = ""  # names the version that `part` is of, as far as this run knows

    def run(self) -> None:
        """Try until `part` is complete."""
        with progress_bar("bytes") as bar:
            task = bar.add_task(self.file.name, total=None, info="")

            def show(completed: int, total: int | None) -> None:
                bar.update(task, completed=completed, total=total, info="")

            for pause in PAUSES:
                try:
                    return self.receive(show)
                except _BrokeOffError as error:
                    bar.update(task, info=f"{error}; next try in {pause:.0f} s")
                time.sleep(pause)
            try:
                self.receive(show)
            except _BrokeOffError as error:
                kept = f" ({_amount(size)} are kept)" if (size := _size(self.part)) else ""
                raise self.failed(f"{error}, {len(PAUSES) + 1} times{kept}") from error

    def failed(self, reason: str) -> DataError:
        return DataError(f"{self.file.url}: {reason}; {_way_out(self.file, self.by_hand)}")

    def receive(self, show: Callable[[int, int | None], None]) -> None:
        """Ask for what is missing and append it; start anew if only the whole can be had."""
        size = _size(self.part)
        response = self.ask(size)
        if response is None:
            return
        with response:
            if response.status == http.client.PARTIAL_CONTENT:
                content_range = response.headers.get("Content-Range", "")
                if not re.match(rf"bytes {size}-", content_range):
                    self.part.unlink(missing_ok=True)
                    raise _BrokeOffError("the server sent another part than the one asked for")
            else:
                size = 0
            self.etag = response.headers.get("ETag", "")
            total = None if response.length is None else size + response.length
            if total is not None and total < _size(self.part):
                raise _BrokeOffError("the server sent something else than the file")
            if (total or 0) > self.file.max_bytes:
                raise self.too_large()
            with self.part.open("ab" if size else "wb") as part:
                while size <= self.file.max_bytes and (chunk := self.read(response)):
                    part.write(chunk)
                    size += len(chunk)
                    show(size, total)
        if size > self.file.max_bytes:
            self.part.unlink()
            raise self.too_large()
        if total is not None and size < total:
            raise _BrokeOffError("the connection broke off")

    def ask(self, size: int) -> http.client.HTTPResponse | None:
        """The answer to a request for all that comes after `size` bytes; None if nothing does."""
        request = urllib.request.Request(self.file.url, headers={"User-Agent": "foodvision"})
        if size:
            request.add_header("Range", f"bytes={size}-")
            if self.etag.startswith('"'):  # a weak one does not promise the same bytes
                request.add_header("If-Range", self.etag)
        try:
            response: http.client.HTTPResponse = self.opener.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            self.reached = True
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                if error.headers.get("Content-Range") == f"bytes */{size}":
                    return None
                self.part.unlink(missing_ok=True)
                raise _BrokeOffError("the file has changed on the server") from error
            if error.code // 100 == 3:
                raise self.failed("the server redirects to where http(s) does not lead") from error
            answer = f"the server answered {error.code} {http.client.responses.get(error.code, '')}"
            if error.code // 100 == 5 or error.code in _TEMPORARY:
                raise _BrokeOffError(answer.strip()) from error
            raise self.failed(answer.strip()) from error
        except urllib.error.URLError as error:
            reason = f"cannot be reached ({getattr(error.reason, 'strerror', '') or error.reason})"
            if not self.reached:  # most likely there is no network: say so at once
                raise self.failed(reason) from error
            raise _BrokeOffError(reason) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.reached = True
            raise _broke_off(error) from error
        self.reached = True
        return response

    def read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read1(_CHUNK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _broke_off(error) from error

    def too_large(self) -> DataError:
        return self.failed(f"sends more than the {_amount(self.file.max_bytes)} it may have")


def _broke_off(error: Exception) -> _BrokeOffError:
    if isinstance(error, TimeoutError):
        return _BrokeOffError(f"the server was silent for {TIMEOUT:g} s")
    return _BrokeOffError("the connection broke off")
