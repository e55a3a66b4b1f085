"""Every training picture read once before training: its fingerprint, and whether it opens.

A picture that cannot be opened is found here, by name, and not by a crash in the ninth hour.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from foodvision.data.sources import Example, Pictures
from foodvision.errors import ImageError
from foodvision.images.decode import open_image
from foodvision.progress import progress_bar


@dataclass(frozen=True)
class Inventory:
    """What reading every picture once has shown.

    Attributes:
        pictures: those that open.
        sha256: of their files' bytes, in their order.
        unreadable: what is wrong with the others.

    """

    pictures: Pictures
    sha256: Sequence[str]
    unreadable: Sequence[ImageError]

    def subset(self, chosen: Sequence[int]) -> Inventory:
        """The readable pictures at these positions."""
        digests = [self.sha256[i] for i in chosen]
        return Inventory(self.pictures.subset(chosen), digests, ())

    def fingerprint(self) -> str:
        """SHA-256 over every picture's bytes and class, whatever their order."""
        rows = sorted(
            f"{digest} {self.pictures.classes[label]}"
            for digest, label in zip(self.sha256, self.pictures.labels.tolist(), strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def take_inventory(pictures: Pictures) -> Inventory:
    """Read, hash and open every picture, in threads and with a progress bar."""
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress_bar() as bar:
        task = bar.add_task("reading", total=len(pictures), unit="pictures", info="")
        results = []
        # By index: a pool takes all of its arguments at once, and the bytes may not fit.
        for result in pool.map(lambda i: _inspect(pictures[i]), range(len(pictures))):
            results.append(result)
            bar.advance(task)
    good = [i for i, result in enumerate(results) if isinstance(result, str)]
    return Inventory(
        pictures.subset(good),
        [result for result in results if isinstance(result, str)],
        [result for result in results if isinstance(result, ImageError)],
    )


def _inspect(example: Example) -> str | ImageError:
    try:
        content = (
            example.source.read_bytes() if isinstance(example.source, Path) else example.source
        )
        # At the smallest scale: all of the file is read, little of it is computed.
        open_image(content, min_side=1)
    except OSError as error:
        return ImageError(example.name, f"cannot be read ({error.strerror})")
    except ImageError as error:
        return ImageError(example.name, error.reason)
    return hashlib.sha256(content).hexdigest()
