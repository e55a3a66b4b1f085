"""Which images each batch has: a function of seed and epoch alone, whoever computes it.

Images at hand are permuted as a whole. A stream of a terabyte cannot be read in such an order, so
its epochs go through it in lanes: the row groups are permuted, their rows are permuted within each,
and this sequence is cut into lanes of equal length, side by side. Each batch takes its images from
all lanes, so it mixes as many row groups as there are lanes, and a rank reads only the lanes that
its part of the batch is in. The place in an epoch says which row groups come next, so a resumed run
reads none of those before. The process that trains reads, and its workers get the bytes: they need
each row group once, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch.utils.data import Sampler

from foodvision.data import LabelledImages
from foodvision.data.stores import Source
from foodvision.data.stream_store import StreamStore
from foodvision.errors import RecipeError
from foodvision.training.randomness import ORDER, seed_for
from foodvision.training.recipe import Recipe

LANES = 64
"""The most lanes; a power of two, so that 2, 4 or 8 ranks share them evenly."""

FEWEST_LANES = 4
"""However large the row groups are."""

WINDOW_BYTES = 2**30
"""Of the row groups that all ranks together take a batch from. Those ahead are a quarter more."""

Position = tuple[int, int, Source | None]
"""Epoch and sample index: with the seed, all that the randomness of a sample depends on. And where
its image is, if it is of a stream."""


class TrainingBatches(Sampler[list[Position]]):
    """The batches of an epoch: a permutation that depends on seed and epoch, cut into equal parts.

    An incomplete last batch is dropped, unless it is the only one. Of each batch, a rank gets a
    part of its own, and all ranks together the whole: so the run is the same with any number.

    Attributes:
        epoch: set it before each epoch.
        start: number of batches to skip, because an interrupted run has seen them.
        size: images of one batch, on all ranks together.

    """

    def __init__(self, images: int, recipe: Recipe, rank: int = 0, ranks: int = 1) -> None:
        """Cut the batches.

        Args:
            images: number of training images.
            recipe: batch_size and seed.
            rank: 0 to ranks − 1.
            ranks: among which each batch is divided; the parts differ by one image at most.

        Raises:
            RecipeError: if a rank would get no image.

        """
        self.images, self.seed, self.size = images, recipe.seed, min(recipe.batch_size, images)
        if self.size < ranks:
            raise RecipeError(
                f"{ranks} processes cannot share a batch of {self.size} images: start fewer, or "
                "use a larger batch_size and more images"
            )
        self.part = slice(self.size * rank // ranks, self.size * (rank + 1) // ranks)
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return self.images // self.size

    def __iter__(self) -> Iterator[list[Position]]:
        generator = torch.Generator().manual_seed(seed_for(self.seed, ORDER, self.epoch))
        order = torch.randperm(self.images, generator=generator).tolist()
        for first in range(self.start * self.size, len(self) * self.size, self.size):
            part = order[first : first + self.size][self.part]
            yield [(self.epoch, index, None) for index in part]


class StreamedTrainingBatches(TrainingBatches):
    """The same for a stream, in the order of `epoch_order`, with the bytes of each image."""

    def __init__(
        self,
        images: LabelledImages,
        stream: StreamStore,
        recipe: Recipe,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        super().__init__(len(images), recipe, rank, ranks)
        self.streamed, self.groups = images, stream.groups_of(images.indices)
        self.lanes = lanes_of(stream.largest)
        self.ahead = max(1, self.lanes // (4 * ranks))

    def __iter__(self) -> Iterator[list[Position]]:
        order = epoch_order(self.groups, self.size, self.lanes, self.seed, self.epoch)
        parts = list(order[self.start :, self.part])
        for part, sources in zip(parts, self.streamed.in_batches(parts, self.ahead), strict=True):
            yield [
                (self.epoch, index, source)
                for index, source in zip(part.tolist(), sources, strict=True)
            ]


class StreamedBatches(Sampler[list[Position]]):
    """Batches of a stream in its own order, as what Accelerate takes for a batch sampler."""

    drop_last = False

    def __init__(self, images: LabelledImages, batch_size: int) -> None:
        self.images, self.batch_size = images, batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[list[Position]]:
        cuts = range(self.batch_size, len(self.images), self.batch_size)
        batches = np.split(np.arange(len(self.images)), cuts)
        for batch, sources in zip(batches, self.images.in_batches(batches), strict=True):
            yield [
                (0, index, source) for index, source in zip(batch.tolist(), sources, strict=True)
            ]


def lanes_of(largest: int) -> int:
    """The number of lanes: the same for any number of ranks, or these would be other runs.

    Args:
        largest: bytes of the largest row group.

    """
    lanes = LANES
    while lanes > FEWEST_LANES and lanes * largest > WINDOW_BYTES:
        lanes //= 2
    return lanes


def epoch_order(groups: np.ndarray, size: int, lanes: int, seed: int, epoch: int) -> np.ndarray:
    """The images of each batch of an epoch: int64 of shape (batches, size).

    Args:
        groups: the row group of each image, ascending.
        size: images of a batch.
        lanes: see above.
        seed: of the run.
        epoch: 0 for the first.

    """
    random = np.random.default_rng(seed_for(seed, ORDER, epoch))
    bounds = list(pairwise([*np.flatnonzero(np.diff(groups, prepend=-1)), len(groups)]))
    rows = np.concatenate(
        [random.permutation(np.arange(*bounds[i])) for i in random.permutation(len(bounds))]
    )
    batches = len(rows) // size
    cuts = [size * lane // lanes for lane in range(lanes + 1)]
    columns = [rows[batches * a : batches * b].reshape(batches, b - a) for a, b in pairwise(cuts)]
    return np.concatenate(columns, axis=1)
