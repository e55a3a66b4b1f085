"""Which of the scored images a model has seen before: by content, whatever their names are.

The split.csv of a run's folder comes in, and each image's bytes as they are read; out goes the
split that the image was in when the model was trained.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from pathlib import Path

from foodvision.data.dataset import Example
from foodvision.files.read import open_regular

log = logging.getLogger(__name__)

SPLITS = "split.csv"


def read_seen(folder: Path | None) -> dict[bytes, str] | None:
    """The images of a run: ``train`` or ``validation``, by the SHA-256 of their bytes.

    Args:
        folder: of the model.

    Returns:
        None if the folder has no record of them, as when the model comes from the Hub.

    """
    if folder is None or not (folder / SPLITS).exists():
        return None
    try:
        with open_regular(folder / SPLITS) as file:
            rows = csv.DictReader(io.TextIOWrapper(file, "utf-8", "surrogateescape", newline=""))
            seen = {
                bytes.fromhex(row["sha256"]): row["split"]
                for row in rows
                if row["split"] in ("train", "validation")
            }
            return seen or None
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "damaged"
        log.warning(
            "%s: cannot be read (%s); images that the model was trained on are not recognised",
            folder / SPLITS,
            reason,
        )
        return None


class HashedFile:
    """The file of a labelled image, hashed when it is read for decoding, in the same thread."""

    def __init__(self, example: Example, sha256: dict[str, bytes]) -> None:
        self.name = example.name
        self._example, self._sha256 = example, sha256

    def read(self, _size: int = -1) -> bytes:
        """The bytes of the whole file; their SHA-256 is put into `sha256` under its name.

        Raises:
            ImageError: as `Example.read` does.

        """
        content = self._example.read()
        self._sha256[self.name] = hashlib.sha256(content).digest()
        return content
