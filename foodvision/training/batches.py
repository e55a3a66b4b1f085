"""Training and validation pictures as batches of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from foodvision.data.sources import Pictures
from foodvision.images import ImageSpec, TrainingTransform
from foodvision.training.randomness import ORDER, SAMPLE, seed_for, seeded
from foodvision.training.recipe import Recipe

Position = tuple[int, int]
"""Epoch and sample index: all that the randomness of a sample may depend on."""


class TrainingSampler(Sampler[Position]):
    """The order of the epoch set in `epoch`: a permutation that depends on seed and epoch."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Position]:
        generator = torch.Generator().manual_seed(seed_for(self.seed, ORDER, self.epoch))
        for index in torch.randperm(self.size, generator=generator).tolist():
            yield self.epoch, index


class TrainingPictures(Dataset[tuple[Tensor, int]]):
    """A random view of each picture, the same for the same seed, epoch and index."""

    def __init__(self, pictures: Pictures, transform: TrainingTransform, seed: int) -> None:
        self.pictures, self.transform, self.seed = pictures, transform, seed

    def __getitem__(self, position: Position) -> tuple[Tensor, int]:
        epoch, index = position
        source, label, _ = self.pictures[index]
        picture = self.transform.spec.open(source)
        with seeded(self.seed, SAMPLE, epoch, index):
            return self.transform(picture), label


class ValidationPictures(Dataset[tuple[Tensor, int]]):
    """Each picture as the finished model will see it."""

    def __init__(self, pictures: Pictures, spec: ImageSpec) -> None:
        self.pictures, self.spec = pictures, spec

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        source, label, _ = self.pictures[index]
        return self.spec.prepare(self.spec.open(source)), label


def training_loader(
    pictures: Pictures, spec: ImageSpec, recipe: Recipe
) -> tuple[DataLoader[tuple[Tensor, int]], TrainingSampler]:
    """Shuffled batches and the sampler that wants to be told the epoch.

    Batches are all of one size: what is left at the end of an epoch waits for the next one's
    order, unless there is less than one batch in all.
    """
    transform = TrainingTransform(
        spec, recipe.min_area, recipe.flip, recipe.auto_augment, recipe.erasing
    )
    sampler = TrainingSampler(len(pictures), recipe.seed)
    loader = DataLoader(
        TrainingPictures(pictures, transform, recipe.seed),
        batch_size=recipe.batch_size,
        sampler=sampler,
        drop_last=len(pictures) >= recipe.batch_size,
        **_workers(recipe),
    )
    return loader, sampler


def validation_loader(
    pictures: Pictures, spec: ImageSpec, recipe: Recipe
) -> DataLoader[tuple[Tensor, int]]:
    """Batches in the pictures' order."""
    return DataLoader(
        ValidationPictures(pictures, spec), batch_size=recipe.batch_size, **_workers(recipe)
    )


def _workers(recipe: Recipe) -> dict[str, Any]:
    return {"num_workers": recipe.num_workers, "persistent_workers": recipe.num_workers > 0}
