"""Which of the scored images a model has seen before: by content, whatever their names are.

The split.csv of a run's folder comes in, and each image's bytes as they are read; out goes the
split that the image was in when the model was trained. A model without a run has no such record:
then the test images are looked for among the dataset's own training images.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections.abc import Collection
from pathlib import Path

from foodvision.data.dataset import Example, LabelledImages
from foodvision.data.inventory import take_inventory
from foodvision.data.splits import SPLIT_CSV
from foodvision.errors import ImageError
from foodvision.files.read import open_regular
from foodvision.weights.box import path_of
from foodvision.weights.repository import WEIGHTS

log = logging.getLogger(__name__)


def read_seen(folder: Path | None) -> dict[bytes, str] | None:
    """The images of a run: ``train`` or ``validation``, by the SHA-256 of their bytes.

    Args:
        folder: of the model.

    Returns:
        None if the folder has no record of them, as when the model comes from the Hub or has
        learnt from a stream, whose images have no hashes.

    """
    if folder is None or not (folder / SPLIT_CSV).exists():
        return None
    try:
        with open_regular(folder / SPLIT_CSV) as file:
            rows = csv.DictReader(io.TextIOWrapper(file, "utf-8", "surrogateescape", newline=""))
            seen: dict[bytes, str] = {}
            for row in rows:
                if row.get("class") == "":  # of a row group
                    return None
                if row["split"] in ("train", "validation"):
                    seen[bytes.fromhex(row["sha256"])] = row["split"]
            return seen or None
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "damaged"
        log.warning(
            "%s: cannot be read (%s); images that the model was trained on are not recognised",
            folder / SPLIT_CSV,
            reason,
        )
        return None


def seen_by(source: str) -> set[str]:
    """The images that the run behind some weights was trained on or chosen by.

    Args:
        source: of the weights, see `foodvision.weights.source.read_checkpoint`.

    Returns:
        SHA-256 of their bytes, in hexadecimal; empty for weights of no run.

    """
    path = path_of(source)
    run = path if path.is_dir() else path.parent if path.name == WEIGHTS else None
    return {digest.hex() for digest in read_seen(run) or {}}


def copies_in(train: LabelledImages, test: LabelledImages, sha256: Collection[bytes]) -> int:
    """How many test images are among the training images as well, byte for byte.

    Reads only training files of the same size as a test file.

    Args:
        train: the training images.
        test: the test images.
        sha256: of each of the test images.

    """
    sizes = {_size(example) for example in test}
    train = train.subset([i for i, example in enumerate(train) if _size(example) in sizes])
    digests = set(take_inventory(train, opened=False).sha256)
    return sum(digest.hex() in digests for digest in sha256)


def _size(example: Example) -> int:
    source = example.source
    try:
        return source.stat().st_size if isinstance(source, Path) else len(example.read())
    except (OSError, ImageError):
        return -1


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
