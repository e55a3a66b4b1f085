"""Training and validation images as batches of tensors."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from foodvision.data import LabelledImages
from foodvision.images import ImageSpec
from foodvision.images.augment import TrainingTransform
from foodvision.images.transforms import finish, prepare
from foodvision.training.memory import OpenedImages
from foodvision.training.randomness import ORDER, SAMPLE, seed_for, seeded
from foodvision.training.recipe import Recipe

GRACE = 60
"""Seconds that a worker process lives on after SIGTERM, for the main one to finish its step."""

Position = tuple[int, int]
"""Epoch and sample index: all that the randomness of a sample may depend on."""


class TrainingSampler(Sampler[Position]):
    """The order of an epoch: a permutation that depends on seed and epoch.

    Attributes:
        epoch: whose order comes next.
        start: samples of it that are left out, because an interrupted run has seen them.

    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Position]:
        generator = torch.Generator().manual_seed(seed_for(self.seed, ORDER, self.epoch))
        order = torch.randperm(self.size, generator=generator).tolist()
        for index in order[self.start :]:
            yield self.epoch, index


class TrainingImages(Dataset[tuple[Tensor, int]]):
    """A random view of each image, the same for the same seed, epoch and index."""

    def __init__(self, opened: OpenedImages, transform: TrainingTransform, seed: int) -> None:
        self.opened, self.transform, self.seed = opened, transform, seed

    def __getitem__(self, position: Position) -> tuple[Tensor, int]:
        epoch, index = position
        image, label = self.opened[index]
        with seeded(self.seed, SAMPLE, epoch, index):
            return self.transform(image), label


class ValidationImages(Dataset[tuple[Tensor, int]]):
    """Each image as the finished model will see it."""

    def __init__(self, opened: OpenedImages) -> None:
        self.opened = opened

    def __len__(self) -> int:
        return len(self.opened)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.opened[index]
        return prepare(image, self.opened.spec), label


def training_loader(
    images: LabelledImages, spec: ImageSpec, recipe: Recipe, num_processes: int = 1
) -> tuple[DataLoader[tuple[Tensor, int]], TrainingSampler]:
    """Shuffled batches, and the sampler that wants to be told the epoch.

    Images are uint8 for `transforms.finish` to finish on the device: a quarter of the bytes, and
    one operation for a whole batch. Batches are all of one size: what is left at the end of an
    epoch waits for the next one's order, unless that is all, and less than a batch a process.
    """
    transform = TrainingTransform(
        spec, recipe.min_area, recipe.flip, recipe.auto_augment, recipe.magnitude, recipe.erasing
    )
    sampler = TrainingSampler(len(images), recipe.seed)

    loader = DataLoader(
        TrainingImages(OpenedImages(images, spec), transform, recipe.seed),
        batch_size=recipe.batch_size,
        sampler=sampler,
        drop_last=len(images) >= recipe.batch_size * num_processes,
        collate_fn=partial(_collate, spec),
        **_workers(recipe),
    )
    return loader, sampler


def _collate(spec: ImageSpec, samples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    views, labels = zip(*samples, strict=True)
    if len({view.shape for view in views}) > 1:  # resize_mode pad: made equal by padding
        views = tuple(finish(view, spec) for view in views)
    return torch.stack(views), torch.tensor(labels)


def validation_loader(
    images: LabelledImages, spec: ImageSpec, recipe: Recipe
) -> DataLoader[tuple[Tensor, int]]:
    """Batches of finished images, in their order."""
    return DataLoader(
        ValidationImages(OpenedImages(images, spec)),
        batch_size=recipe.batch_size,
        **_workers(recipe),
    )


def _workers(recipe: Recipe) -> dict[str, Any]:
    return {
        "num_workers": recipe.num_workers,
        "persistent_workers": recipe.num_workers > 0,
        "worker_init_fn": _leave_signals_to_the_main_process,
    }


def _leave_signals_to_the_main_process(worker: int) -> None:
    """A signal may reach every process of a run; the main one still needs its workers then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # not on Windows, where there is no such signal either
        # For a while only: it is also how the main process ends a worker that hangs.
        signal.signal(signal.SIGTERM, _end_soon)


def _end_soon(number: int, frame: FrameType | None) -> None:
    signal.alarm(GRACE)  # nobody handles its SIGALRM, which then ends the process
