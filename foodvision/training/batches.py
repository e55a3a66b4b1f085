"""Training and validation images as batches of tensors."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from foodvision.errors import DataError, FoodvisionError, ImageError, RecipeError
from foodvision.images import ImageSpec
from foodvision.images.augment import TrainingTransform
from foodvision.images.transforms import finish, prepare
from foodvision.training.memory import OpenedImages
from foodvision.training.randomness import ORDER, SAMPLE, seed_for, seeded
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import RunFolder

GRACE = 60
"""Seconds a worker stays alive after SIGTERM, so that the main process can finish its step."""

Position = tuple[int, int]
"""Epoch and sample index: with the seed, all that the randomness of a sample depends on."""


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
            yield [(self.epoch, index) for index in order[first : first + self.size][self.part]]


class TrainingImages(Dataset[tuple[Tensor, int, int]]):
    """A random view of each image, the same for the same seed, epoch and index; label and index."""

    def __init__(self, opened: OpenedImages, transform: TrainingTransform, seed: int) -> None:
        self.opened, self.transform, self.seed = opened, transform, seed

    def __getitem__(self, position: Position) -> tuple[Tensor, int, int]:
        epoch, index = position
        image, label = self.opened[index]
        with seeded(self.seed, SAMPLE, epoch, index):
            return self.transform(image), label, index


class ValidationImages(Dataset[tuple[Tensor, int]]):
    """Each image as the trained model will see it."""

    def __init__(self, opened: OpenedImages) -> None:
        self.opened = opened

    def __len__(self) -> int:
        return len(self.opened)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.opened[index]
        return prepare(image, self.opened.spec), label


def training_loader(
    opened: OpenedImages, recipe: Recipe, rank: int = 0, ranks: int = 1
) -> tuple[DataLoader[tuple[Tensor, int, int]], TrainingBatches]:
    """Shuffled batches (images, labels, indices), and their sampler: set `sampler.epoch` first.

    Images stay uint8; `transforms.finish` normalises a whole batch on the device, which receives a
    quarter of the bytes.

    Raises:
        RecipeError: if a rank would get no image.

    """
    transform = TrainingTransform(
        opened.spec,
        min_area=recipe.min_area,
        flip=recipe.flip,
        auto_augment=recipe.auto_augment,
        magnitude=recipe.magnitude,
        erasing=recipe.erasing,
    )
    sampler = TrainingBatches(len(opened), recipe, rank, ranks)
    loader = DataLoader(
        TrainingImages(opened, transform, recipe.seed),
        batch_sampler=sampler,
        collate_fn=partial(_collate, opened.spec),
        **_workers(recipe),
    )
    return loader, sampler


def _collate(
    spec: ImageSpec, samples: list[tuple[Tensor, int, int]]
) -> tuple[Tensor, Tensor, Tensor]:
    views, labels, indices = zip(*samples, strict=True)
    if len({view.shape for view in views}) > 1:  # resize_mode pad: padding makes them equal
        views = tuple(finish(view, spec) for view in views)
    return torch.stack(views), torch.tensor(labels), torch.tensor(indices)


def validation_loader(
    opened: OpenedImages, recipe: Recipe, num_processes: int = 1
) -> DataLoader[tuple[Tensor, int]]:
    """Batches of prepared images, in their order."""
    return DataLoader(
        ValidationImages(opened),
        batch_size=recipe.batch_size // num_processes,
        **_workers(recipe),
    )


def _workers(recipe: Recipe) -> dict[str, Any]:
    return {
        "num_workers": recipe.num_workers,
        "persistent_workers": recipe.num_workers > 0,
        "worker_init_fn": _ignore_signals,
    }


def _ignore_signals(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the main process still needs its workers then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # Windows has neither
        # For a while only: SIGTERM is also how the main process ends a worker that hangs.
        signal.signal(signal.SIGTERM, _end_soon)


def _end_soon(number: int, frame: FrameType | None) -> None:
    signal.alarm(GRACE)  # SIGALRM is not handled, so it ends the process


@contextmanager
def worker_failures(folder: RunFolder) -> Iterator[None]:
    """Turn failures of DataLoader workers into errors of one line."""
    try:
        yield
    except RuntimeError as error:
        if str(error).startswith(f"Caught {ImageError.__name__} in DataLoader worker"):
            # torch hands over the traceback's text alone; its last line is the message.
            reason = str(error).strip().splitlines()[-1].partition(": ")[2]
            raise DataError(reason) from error
        if "DataLoader worker (pid" not in str(error):
            raise
        raise FoodvisionError(
            "a process that prepares images died, perhaps for lack of memory; run "
            f"{folder.same_command} and --set num_workers=0"
        ) from error
