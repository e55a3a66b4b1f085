"""Read every training image once before training: its hash, and whether it opens.

Labelled images come in; an `Inventory` goes out. An image that cannot be opened is found here, by
name, and not by a crash hours later.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from foodvision.data.dataset import Example, LabelledImages
from foodvision.errors import ImageError
from foodvision.images.decode import open_image
from foodvision.prefetch import prefetch
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

AHEAD = 64
"""Images in memory at a time."""


@dataclass(frozen=True)
class Inventory:
    """The images that open, their hashes, and what is wrong with the others.

    Attributes:
        images: those that open.
        sha256: of the bytes of each of these, in hexadecimal.
        unreadable: one error for each of the others.

    """

    images: LabelledImages
    sha256: Sequence[str]
    unreadable: Sequence[ImageError]

    def subset(self, chosen: Sequence[int]) -> Inventory:
        """The readable images at these positions."""
        return Inventory(self.images.subset(chosen), [self.sha256[i] for i in chosen], ())

    def fingerprint(self) -> str:
        """SHA-256 over the bytes and the class of every image, in any order."""
        rows = sorted(
            f"{digest} {self.images.classes[label]}"
            for digest, label in zip(self.sha256, self.images.labels.tolist(), strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def take_inventory(images: LabelledImages, opened: bool = True) -> Inventory:
    """Read, hash and open every image, in threads and with a progress bar.

    Args:
        images: the images to read.
        opened: False only reads and hashes them, so damaged images are not found.

    """
    results = []
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(images), unit="images", info="")
        for result in prefetch(partial(_inspect, opened=opened), images, AHEAD):
            results.append(result)
            bar.advance(task)
    good = [i for i, result in enumerate(results) if isinstance(result, str)]
    return Inventory(
        images.subset(good),
        [result for result in results if isinstance(result, str)],
        [result for result in results if isinstance(result, ImageError)],
    )


def warn_of_identical(name: str, inventories: Mapping[str, Inventory]) -> None:
    """Warn of identical images (same bytes) under two class names, or in two splits.

    Args:
        name: of the dataset.
        inventories: of the splits, by their names.

    """
    repeated = Counter(digest for inventory in inventories.values() for digest in inventory.sha256)
    copies: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for split, inventory in inventories.items():
        files, labels = inventory.images.names(), inventory.images.labels.tolist()
        for digest, file, label in zip(inventory.sha256, files, labels, strict=True):
            if repeated[digest] > 1:
                copies[digest].append((inventory.images.classes[label], split, file))
    for field, where in enumerate(("under two class names", "in train and in validation")):
        groups = [group for group in copies.values() if len({row[field] for row in group}) > 1]
        if groups:
            first, *others = groups[0]
            other = next(row for row in others if row[field] != first[field])
            log.warning(
                "%s: identical images %s: %d (in %d files), such as %s and %s",
                *(name, where, len(groups), sum(map(len, groups)), first[2], other[2]),
            )


def _inspect(example: Example, opened: bool) -> str | ImageError:
    try:
        content = example.read()
        if opened:
            # At the smallest scale, which reads all of the file and computes little.
            open_image(content, min_side=1)
    except ImageError as error:
        return ImageError(example.name, error.reason)
    return hashlib.sha256(content).hexdigest()
