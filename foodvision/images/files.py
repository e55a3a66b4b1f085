"""The image files below a folder: which entries count, and which are left out with a warning."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from foodvision.errors import DataError
from foodvision.images.decode import SUFFIXES

log = logging.getLogger(__name__)

_SYSTEM_FOLDERS = {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"}
"""Folders added by macOS, Synology and Windows, which hold no images of the dataset."""


def itself_and_above(folder: Path) -> set[str]:
    """Where a link makes a loop: the folder and all above it, as real paths."""
    real = Path(os.path.realpath(folder))
    return {str(real), *map(str, real.parents)}


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and its subfolders, sorted, without hidden ones.

    Linked folders come last, and no folder is listed twice, so links cannot loop. Files that are
    not regular (FIFO, socket, device) are left out with a warning.

    Raises:
        DataError: if a subfolder cannot be read.

    """
    seen = itself_and_above(folder.parent)
    waiting, linked, special = [str(folder)], list[str](), 0
    while waiting or linked:
        inner = waiting.pop() if waiting else linked.pop(0)
        if (real := os.path.realpath(inner)) in seen:
            continue
        seen.add(real)
        entries = visible_entries(inner)
        for entry in entries:
            if entry.is_dir():
                continue
            if entry.is_file() or not Path(entry).exists():  # reading reports a broken link
                yield Path(entry)
            else:
                special += 1
        folders = [entry for entry in entries if entry.is_dir()]
        linked += [entry.path for entry in folders if entry.is_symlink()]
        waiting += [entry.path for entry in reversed(folders) if not entry.is_symlink()]
    if special:
        log.warning("%s: not regular files (FIFO, socket or device), left out: %d", folder, special)


def visible_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted, without hidden ones and `_SYSTEM_FOLDERS`."""
    try:
        with os.scandir(folder) as entries:
            visible = [
                entry
                for entry in entries
                if not entry.name.startswith(".") and entry.name not in _SYSTEM_FOLDERS
            ]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    return sorted(visible, key=lambda entry: entry.name)


def is_image(path: Path) -> bool:
    """Whether the suffix is one of an image format that is supported."""
    return path.suffix.lower() in SUFFIXES


def suffix_of(path: Path) -> str:
    """What `warn_of_left_out` counts."""
    return path.suffix.lower() or "without a suffix"


def warn_of_left_out(where: str, suffixes: Counter[str]) -> None:
    """Log how many files are left out because of their suffix, in one line."""
    if total := suffixes.total():
        listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(suffixes.items()))
        noun = "file" if total == 1 else "files"
        reason = "left out, whose suffix is not that of an image"
        log.warning("%s: %d %s %s: %s", where, total, noun, reason, listed)
