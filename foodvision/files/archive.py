"""Unpack a zip or a gzipped tar that may be damaged or hostile.

An archive comes in; its regular files go out, below one folder and with default permissions.
Links, devices, owners and modes are never taken from the archive.
"""

from __future__ import annotations

import errno
import gzip
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from foodvision.errors import DataError
from foodvision.progress import progress_bar

MAX_RATIO = 20
"""Largest ratio of unpacked to packed size: images barely shrink, a bomb shrinks 1000 times."""

_CHUNK = 1 << 18  # bytes

_OF_THE_ARCHIVE = {errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTDIR}
"""Errors of the system for which an archive is to blame: its offsets or names are impossible."""


class _Member(NamedTuple):
    name: str
    is_file: bool
    is_folder: bool
    size: int
    open: Callable[[], Any]  # of a file: its content, a binary stream


def unpack(archive: Path, folder: Path, max_bytes: int, max_members: int) -> None:
    """Unpack into an empty folder, without hidden files and the folder that macOS adds.

    Args:
        archive: a zip, or a gzipped tar, which is read in one pass.
        folder: must exist and be empty; after an error it holds what was unpacked before.
        max_bytes: of all unpacked files together.
        max_members: files and folders in the archive.

    Raises:
        DataError: if the archive is damaged, is over a limit, or has a link, a device or a name
            that leads out of the folder.
        OSError: if the folder cannot be written to.

    """
    max_bytes = min(max_bytes, MAX_RATIO * archive.stat().st_size)
    unpacked = 0
    with progress_bar() as bar:
        task = bar.add_task("unpacking", total=None, unit="files", info="")
        try:
            for number, member in enumerate(_members(archive), start=1):
                unpacked += member.size
                if number > max_members or unpacked > max_bytes:
                    raise DataError(
                        f"{archive}: unpacks to more than {max_members:,} members or "
                        f"{max_bytes / 1e6:,.1f} MB; it is not the expected archive"
                    )
                parts = _safe_parts(archive, member)
                hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
                if member.is_file and parts and not hidden:
                    _write(member, folder.joinpath(*parts))
                bar.advance(task)
        except FileExistsError as error:
            raise DataError(f"{archive}: has {Path(error.filename).name} twice") from error
        except Exception as error:  # BadZipFile, TarError, zlib.error, struct.error, EOFError, …
            of_the_archive = getattr(error, "errno", None) in _OF_THE_ARCHIVE
            of_the_disk = isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile)
            if isinstance(error, DataError) or (of_the_disk and not of_the_archive):
                raise
            raise DataError(f"{archive}: is damaged ({error}); remove it and try again") from error


def _members(archive: Path) -> Iterator[_Member]:
    content: Callable[[], Any]
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)  # 0: written on Windows
                is_file = kind in (0, stat.S_IFREG) and not info.is_dir()
                content = partial(zipped.open, info)
                yield _Member(info.filename, is_file, info.is_dir(), info.file_size, content)
    else:
        with _Bounded(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for entry in tar:
                content = partial(tar.extractfile, entry)
                yield _Member(entry.name, entry.isreg(), entry.isdir(), entry.size, content)
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps 101,000


class _Bounded(gzip.GzipFile):
    """A stream that refuses large reads, whatever the headers of the tar claim.

    `unpack` limits the sizes of members; this limits what tarfile reads by itself, such as a
    name of a gigabyte.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _CHUNK:
            raise tarfile.ReadError(f"a header of {size or 0:,} bytes")
        return super().read(size)


def _safe_parts(archive: Path, member: _Member) -> tuple[str, ...]:
    # Parsed as on Windows, where both slashes and drive letters count.
    name = PureWindowsPath(member.name)
    if name.anchor or ".." in name.parts:
        raise DataError(f"{archive}: {member.name!r} leads out of the folder; do not trust it")
    if not (member.is_file or member.is_folder):
        raise DataError(f"{archive}: {member.name!r} is a link or a device; do not trust it")
    return name.parts


def _write(member: _Member, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as content, path.open("xb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
