"""One row: the answer for one image, or why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from foodvision.images.decode import ImageSource


class Row(Protocol):
    """What every kind of answer has."""

    @property
    def path(self) -> str:
        """Where the image came from."""

    @property
    def error(self) -> str | None:
        """Why the image could not be opened; None if it was."""

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""


def name_of(source: ImageSource) -> str:
    """What a row calls its image."""
    return str(source) if isinstance(source, str | Path) else "<image>"


def shown(path: str) -> str:
    """A path as it is printed: an empty one in quotes."""
    return path if path.strip() else repr(path)
