"""Checkpoints: what a run can continue from, written so that no moment can tear them."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import torch

from foodvision.errors import FoodvisionError
from foodvision.files import replacing

log = logging.getLogger(__name__)

KEPT = 2
"""The newest checkpoints that are kept: one more than needed, should the disk damage one."""


class Checkpoints:
    """The checkpoints of one run: tensors and plain types, in files named by their step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write one, then delete all but the newest two.

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
        for old in (*self._paths()[KEPT:], *self.folder.glob(".*.tmp")):
            old.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """Read the newest one that is whole; None if there is none.

        Raises:
            FoodvisionError: if there are some, and all are damaged.

        """
        paths = self._paths()
        for path in paths:
            try:
                # weights_only: nothing in the file is run.
                return torch.load(path, map_location="cpu", weights_only=True)
            except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
                log.warning("%s: is damaged (%s)", path, str(error).partition("\n")[0])
        if paths:
            raise FoodvisionError(
                f"{self.folder}: all checkpoints are damaged; start anew with another --out"
            )
        return None

    def _paths(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("[0-9]*.pt"), reverse=True)
