"""Read every training image once before training: its hash, and whether it opens.

Labelled images come in; an `Inventory` goes out. An image that cannot be opened is found here, by
name, and not by a crash hours later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from foodvision.data.dataset import Example, LabelledImages
from foodvision.errors import ImageError
from foodvision.images.decode import open_image
from foodvision.prefetch import prefetch
from foodvision.progress import progress_bar

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
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def take_inventory(images: LabelledImages) -> Inventory:
    """Read, hash and open every image, in threads and with a progress bar."""
    results = []
    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(images), unit="images", info="")
        for result in prefetch(_inspect, images, AHEAD):
            results.append(result)
            bar.advance(task)
    good = [i for i, result in enumerate(results) if isinstance(result, str)]
    return Inventory(
        images.subset(good),
        [result for result in results if isinstance(result, str)],
        [result for result in results if isinstance(result, ImageError)],
    )


def _inspect(example: Example) -> str | ImageError:
    try:
        content = example.read()
        # At the smallest scale, which reads all of the file and computes little.
        open_image(content, min_side=1)
    except ImageError as error:
        return ImageError(example.name, error.reason)
    return hashlib.sha256(content).hexdigest()
