"""Files and folders that exist completely or not at all, whatever happens while they are written.

A path comes in; a temporary one beside it goes out, which takes its place at the end.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foodvision.errors import FoodvisionError
from foodvision.text import to_json


def cache_folder() -> Path:
    """Where foodvision keeps what it can fetch or compute again; it may not exist yet.

    Raises:
        FoodvisionError: if this user has no home folder, as in many containers.

    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "foodvision"
    except RuntimeError as error:
        raise FoodvisionError(
            "this user has no home folder to cache files in; set XDG_CACHE_HOME to another folder"
        ) from error


def cannot_write(path: Path, error: Exception) -> str:
    """The message of every error about a file or folder that cannot be written."""
    return f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})"


def check_writable(path: Path) -> None:
    """Make sure, before long work, that a file could be written there.

    Raises:
        FoodvisionError: if its folder does not exist or cannot be written, or it is a folder.

    """
    try:
        if path.is_dir():
            raise OSError(errno.EISDIR, "is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise FoodvisionError(cannot_write(path, error)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path for `with`; the file written there replaces `path` at the end.

    Its content is on the disk (fsync) before its name is, so neither kill -9 nor a power cut
    leaves half a file at `path`.

    Raises:
        OSError: if the disk is full or the folder has gone; `path` is then unchanged.

    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        put_in_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def put_in_place(finished: Path, path: Path) -> None:
    """Give a finished file its name, once its content is on the disk.

    Raises:
        OSError: if the disk is full or the folder has gone; `path` is then unchanged.

    """
    _sync(finished)
    finished.replace(path)
    _sync(path.parent)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write one JSON object, whole or not at all.

    Raises:
        OSError: as `replacing` does.

    """
    with replacing(path) as temporary:
        temporary.write_text(to_json(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder for `with`; it becomes `out` if the block succeeds.

    One that a killed process left over a minute ago is deleted, where the system has such locks.

    Args:
        out: a folder that does not exist yet, or an empty one.

    Raises:
        OSError: if it cannot be written, contains the current folder, or is not empty at the end.

    """
    out = out.resolve()
    here = Path.cwd()
    if out in (here, *here.parents):  # whoever is in it would be left in a deleted folder
        raise OSError(errno.EBUSY, "contains the current folder; choose another one", str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out.name}.unfinished-"
    for left in out.parent.glob(f"{glob.escape(prefix)}*"):
        # A new one may not be locked yet.
        if _age(left) > 60 and (lock := _lock(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    unfinished = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    lock = _lock(unfinished)
    try:
        yield unfinished
        unfinished.chmod(0o755)  # mkdtemp makes it 0o700
        unfinished.rename(out)
    except BaseException:  # Ctrl-C included
        shutil.rmtree(unfinished, ignore_errors=True)  # the first error is the one to report
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed or the process ends; None if it cannot be."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it is another user's, or its process has just finished it
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system has no locks
        os.close(descriptor)
        return None
    return descriptor


def _age(folder: Path) -> float:
    """Seconds since the last change of a folder; 0 if it is gone."""
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
