"""The training images of a stream: listed before training, and not read.

Their sizes and labels take the place of the hashes of their bytes, row group by row group.
"""

from __future__ import annotations

import hashlib

import numpy as np

from foodvision.data.inventory import Inventory


class Listing(Inventory):
    """An `Inventory` of images that nobody has opened, in the order of their rows, unhashed."""

    def rows(self, split: str) -> list[tuple[str, str, str, str]]:
        """One for each row group: its rows, no class, the SHA-256 of rows and labels, the split."""
        images, stream, found = self.images, self.images.stream, []
        assert stream
        classes = "\n".join(images.classes).encode("utf-8", "surrogateescape")
        groups = stream.groups_of(images.indices)
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        for first, end in zip(starts, [*starts[1:], len(images)], strict=True):
            rows, labels = images.indices[first:end], images.labels[first:end]
            digest = hashlib.sha256(classes + rows.tobytes() + labels.tobytes()).hexdigest()
            last = stream.name(int(rows[-1])).rpartition("#")[2]
            found.append((f"{stream.name(int(rows[0]))}-{last}", "", digest, split))
        return found

    def fingerprint(self) -> str:
        """SHA-256 over the names of the files, their rows and labels; no image is read."""
        rows = "\n".join(" ".join(row) for row in self.rows("train"))
        return hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest()
