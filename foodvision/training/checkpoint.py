"""Checkpoints: what an interrupted run resumes from, written whole or not at all."""

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
"""Checkpoints that are kept, the newest: one more than needed, in case one is damaged."""


class Checkpoints:
    """The checkpoints of one run: tensors and plain types, in files named after the step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint, keep the one before it, and delete all others.

        Raises:
            OSError: if it cannot be written; the one before it is then unchanged.

        """
        self.folder.mkdir(exist_ok=True)
        try:
            with replacing(self.folder / f"{step:09d}.pt") as path, path.open("wb") as file:
                torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's zip writer hides it
                raise error.__context__ from None
            raise
        # A later one must have been damaged, or the run would not repeat this step.
        kept = [path for path in self._paths() if int(path.stem) <= step][:KEPT]
        for old in {*self._paths(), *self.folder.glob(".*.tmp")} - {*kept}:
            old.unlink(missing_ok=True)

    def newest(self) -> Path | None:
        """The file that the run would resume from; None if the run has none yet."""
        return next(iter(self._paths()), None)

    def load(self) -> dict[str, Any] | None:
        """Read the newest undamaged checkpoint; None if the run has none yet.

        Raises:
            FoodvisionError: if all of them are damaged.

        """
        paths = self._paths()
        for path in paths:
            try:
                if _is_whole(path):
                    # weights_only: no code in the file is run.
                    return torch.load(path, map_location="cpu", weights_only=True)
            except (PermissionError, MemoryError):
                raise
            except Exception as error:  # a damaged file makes zipfile and torch raise many types
                log.debug("%s: %s", path, error)
            log.warning("%s: is damaged and skipped", path)
        if paths:
            raise FoodvisionError(
                f"{self.folder}: all checkpoints are damaged; start a new run with another --out"
            )
        return None

    def _paths(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("[0-9]*.pt"), reverse=True)


def _is_whole(path: Path) -> bool:
    """Whether the checksums in the zip match, which torch.load does not verify."""
    with zipfile.ZipFile(path) as content:
        return content.testzip() is None
