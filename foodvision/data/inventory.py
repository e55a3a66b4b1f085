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

import numpy as np

from foodvision.data.dataset import Example, LabelledImages
from foodvision.data.sketch import LENGTH, MIN_SIDE, sketch
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
        sketches: uint8 of shape (n, LENGTH) for `find_duplicates`, if they were asked for.

    """

    images: LabelledImages
    sha256: Sequence[str]
    unreadable: Sequence[ImageError]
    sketches: np.ndarray | None = None

    def subset(self, chosen: Sequence[int]) -> Inventory:
        """The readable images at these positions."""
        sketches = None if self.sketches is None else self.sketches[np.asarray(chosen, int)]
        sha256 = [self.sha256[i] for i in chosen]
        return Inventory(self.images.subset(chosen), sha256, (), sketches)

    def rows(self, split: str) -> list[tuple[str, str, str, str]]:
        """What split.csv says of each image: its name, class, SHA-256, and this split."""
        images = self.images
        return [
            (name, images.classes[label], digest, split)
            for name, label, digest in zip(images.names(), images.labels, self.sha256, strict=True)
        ]

    def fingerprint(self) -> str:
        """SHA-256 over the bytes and the class of every image, in any order."""
        rows = sorted(
            f"{digest} {self.images.classes[label]}"
            for digest, label in zip(self.sha256, self.images.labels.tolist(), strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def take_inventory(
    images: LabelledImages, opened: bool = True, sketched: bool = False
) -> Inventory:
    """Read, hash and open every image once, in threads and with a progress bar.

    Args:
        images: the images to read.
        opened: False only reads and hashes them, so damaged images are not found.
        sketched: also make the sketches that `find_duplicates` compares.

    """
    good: list[int] = []
    sha256: list[str] = []
    unreadable: list[ImageError] = []
    sketches = np.empty((len(images) if sketched else 0, LENGTH), np.uint8)
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(images), unit="images", info="")
        inspect = partial(_inspect, opened=opened, sketched=sketched)
        for i, result in enumerate(prefetch(inspect, images, AHEAD)):
            if isinstance(result, ImageError):
                unreadable.append(result)
            else:
                digest, drawn = result
                if drawn is not None:
                    sketches[len(good)] = drawn
                good.append(i)
                sha256.append(digest)
            bar.advance(task)
    kept = sketches[: len(good)] if sketched else None
    return Inventory(images.subset(good), sha256, unreadable, kept)


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


def _inspect(
    example: Example, opened: bool, sketched: bool
) -> tuple[str, np.ndarray | None] | ImageError:
    drawn = None
    try:
        content = example.read()
        if sketched:
            drawn = sketch(open_image(content, min_side=MIN_SIDE))
        elif opened:
            # At the smallest scale, which reads all of the file and computes little.
            open_image(content, min_side=1)
    except ImageError as error:
        return ImageError(example.name, error.reason)
    return hashlib.sha256(content).hexdigest(), drawn
