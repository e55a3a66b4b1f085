"""Files and folders that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Where foodvision keeps what it can fetch or compute again; it may not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "foodvision"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in the place of `path` at the end.

    The content is on the disk (fsync) before the name is: neither kill -9 nor a power cut leaves
    half a file under `path`.

    Raises:
        OSError: if there is no room, or the folder has gone; `path` is then as it was.

    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder for `with`; it becomes `out` when the block succeeds, else nothing.

    Args:
        out: a folder that does not exist yet, or an empty one.

    Raises:
        OSError: if it cannot be written, or is not empty any more at the end.

    """
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)  # mkdtemp's folders are for their maker only
        unfinished.rename(out)
    except BaseException:  # Ctrl-C included
        shutil.rmtree(unfinished, ignore_errors=True)  # what went wrong first is what counts
        raise


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
