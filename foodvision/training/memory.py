"""Images that are decoded once and kept, if all of them fit into memory."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from foodvision.data import LabelledImages
from foodvision.data.stores import Source
from foodvision.errors import ImageError
from foodvision.images import ImageSpec
from foodvision.images.transforms import open_pixels
from foodvision.prefetch import prefetch
from foodvision.progress import progress_bar
from foodvision.training.ranks import in_shared_memory

MEMORY_LIMIT = 2**30
"""Bytes that the decoded images of one split may take; beyond it each is decoded in every epoch."""

PROBES = 64
"""Images that are decoded to estimate the size of all."""

AHEAD = 64
"""Decoded images that wait to be kept."""


class OpenedImages:
    """Labelled images as uint8 tensors, before any transform; kept if they fit into memory.

    They are kept as one block of bytes, which worker processes and the ranks of a machine share
    without copying it. Those of a stream are not kept.
    """

    def __init__(self, images: LabelledImages, spec: ImageSpec) -> None:
        self.images, self.spec = images, spec
        self._bytes, self._sizes = in_shared_memory(self._decoded)
        self._starts = 3 * (self._sizes.prod(dim=1).cumsum(0) - self._sizes.prod(dim=1))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[UInt8[Tensor, "3 h w"], int]:
        """The image as `open_pixels` gives it, and its label."""
        label = int(self.images.labels[index])
        if not len(self._sizes):
            return open_pixels(self.images[index].source, self.spec), label
        height, width = self._sizes[index].tolist()
        start = int(self._starts[index])
        pixels = self._bytes[start : start + height * width * 3]
        return pixels.view(height, width, 3).permute(2, 0, 1), label

    def get(self, index: int, source: Source | None) -> tuple[UInt8[Tensor, "3 h w"], int]:
        """The same of a stream's image.

        Args:
            index: of the image.
            source: what has been read of the image; None if it is at hand.

        Raises:
            ImageError: naming the image, if it is of a stream and cannot be opened.

        """
        if source is None:
            return self[index]
        try:
            return open_pixels(source, self.spec), int(self.images.labels[index])
        except ImageError as error:
            raise ImageError(self.images.name(index), error.reason) from error

    def _expected_bytes(self) -> float:
        some = range(0, len(self), max(1, len(self) // PROBES))
        sizes = [open_pixels(self.images[i].source, self.spec).numel() for i in some]
        return len(self) * sum(sizes) / len(sizes)

    def _decoded(self) -> tuple[bytearray, Tensor]:
        """All images, one after the other, and their heights and widths; nothing of too many."""
        nothing = bytearray(1), torch.empty(0, 2)
        if self.images.stream or self._expected_bytes() > MEMORY_LIMIT:
            return nothing
        content, sizes = bytearray(), []  # one block, which grows
        with (
            closing(prefetch(self._rows, range(len(self)), AHEAD)) as opened,
            progress_bar() as bar,
        ):
            task = bar.add_task("opening", total=len(self), unit="images", info="")
            for rows in opened:
                content += rows.data
                if len(content) > MEMORY_LIMIT:  # the estimate was too low
                    return nothing
                sizes.append(rows.shape[:2])
                bar.advance(task)
        return content, torch.tensor(sizes)

    def _rows(self, index: int) -> np.ndarray:
        return (
            open_pixels(self.images[index].source, self.spec).permute(1, 2, 0).contiguous().numpy()
        )
