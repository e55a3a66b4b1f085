"""Checkpoints: what a run can continue from, written so that no moment can tear them."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

import torch

from foodvision.errors import FoodvisionError
from foodvision.files.atomic import replacing

log = logging.getLogger(__name__)

KEPT = 2
"""The newest checkpoints that are kept: one more than needed, should the disk damage one."""


class Checkpoints:
    """The checkpoints of one run: tensors and plain types, in files named by their step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write one; keep the one before it, and delete all others.

        Raises:
            OSError: if it cannot be written; the last one is still good then.

        """
        self.folder.mkdir(exist_ok=True)
        try:
            with replacing(self.folder / f"{step:09d}.pt") as path, path.open("wb") as file:
                torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's zip writer hides it
                raise error.__context__ from None
            raise
        # A later one was damaged, or the run would not be here again.
        kept = [path for path in self._paths() if int(path.stem) <= step][:KEPT]
        for old in {*self._paths(), *self.folder.glob(".*.tmp")} - {*kept}:
            old.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """Read the newest one that is whole; None if there is none.

        Raises:
            FoodvisionError: if there are some, and all are damaged.

        """
        paths = self._paths()
        for path in paths:
            try:
                if _is_whole(path):
                    # weights_only: nothing in the file is run.
                    return torch.load(path, map_location="cpu", weights_only=True)
            except (PermissionError, MemoryError):
                raise
            except Exception as error:  # whatever a damaged index or pickle leads zipfile to
                log.debug("%s: %s", path, error)
            log.warning("%s: is damaged and passed over", path)
        if paths:
            raise FoodvisionError(
                f"{self.folder}: all checkpoints are damaged; start anew with another --out"
            )
        return None

    def _paths(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("[0-9]*.pt"), reverse=True)


def _is_whole(path: Path) -> bool:
    """Whether every bit is as it was written: the zip has checksums, torch.load ignores them."""
    with zipfile.ZipFile(path) as content:
        return content.testzip() is None
