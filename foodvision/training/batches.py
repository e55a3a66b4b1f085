"""Training and validation images as batches of tensors."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from foodvision.errors import DataError, FoodvisionError, ImageError
from foodvision.files.remote import RemoteError
from foodvision.images import ImageSpec
from foodvision.images.augment import TrainingTransform
from foodvision.images.transforms import finish, prepare
from foodvision.training.memory import OpenedImages
from foodvision.training.order import (
    Position,
    StreamedBatches,
    StreamedTrainingBatches,
    TrainingBatches,
)
from foodvision.training.randomness import SAMPLE, seeded
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import RunFolder

log = logging.getLogger(__name__)

MAX_UNREADABLE = 0.05
"""The largest share of images that may fail to open; of a stream, in an epoch."""

CHECKED = 1_000
"""Images of a stream after which a run that cannot open more than that share does not wait for the
end of the epoch."""

GRACE = 60
"""Seconds a worker stays alive after SIGTERM, so that the main process can finish its step."""

Sample = tuple[Tensor, int, int]
"""The view of an image, its label and index."""

NAMED = 10
"""Warnings of one epoch about an image that is skipped; further ones are counted."""


class TrainingImages(Dataset[Sample | ImageError]):
    """A random view of each image, the same for the same seed, epoch and index.

    What cannot be opened of a stream is an `ImageError`: nobody has looked at it before.
    """

    def __init__(self, opened: OpenedImages, transform: TrainingTransform, seed: int) -> None:
        self.opened, self.transform, self.seed = opened, transform, seed

    def __getitem__(self, position: Position) -> Sample | ImageError:
        epoch, index, source = position
        try:
            image, label = self.opened.get(index, source)
        except ImageError as error:
            if source is None:
                raise
            return error
        with seeded(self.seed, SAMPLE, epoch, index):
            return self.transform(image), label, index


class ValidationImages(Dataset[tuple[Tensor, int]]):
    """Each image as the trained model will see it."""

    def __init__(self, opened: OpenedImages) -> None:
        self.opened = opened

    def __len__(self) -> int:
        return len(self.opened)

    def __getitem__(self, position: int | Position) -> tuple[Tensor, int]:
        _, index, source = (0, position, None) if isinstance(position, int) else position
        image, label = self.opened.get(index, source)
        return prepare(image, self.opened.spec), label


def training_loader(
    opened: OpenedImages, recipe: Recipe, rank: int = 0, ranks: int = 1
) -> tuple[DataLoader[Sample | ImageError], TrainingBatches]:
    """Shuffled batches and their sampler: set `sampler.epoch` first.

    A batch is images, labels and indices, and the errors of those images that it lacks, see
    `without_skipped`.

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
    sampler: TrainingBatches
    if stream := opened.images.stream:
        sampler = StreamedTrainingBatches(opened.images, stream, recipe, rank, ranks)
    else:
        sampler = TrainingBatches(len(opened), recipe, rank, ranks)
    loader = DataLoader(
        TrainingImages(opened, transform, recipe.seed),
        batch_sampler=sampler,
        collate_fn=partial(_collate, opened.spec),
        **_workers(recipe),
    )
    return loader, sampler


def _collate(
    spec: ImageSpec, samples: list[Sample | ImageError]
) -> tuple[Tensor, Tensor, Tensor, list[ImageError]]:
    errors = [sample for sample in samples if isinstance(sample, ImageError)]
    good = [sample for sample in samples if not isinstance(sample, ImageError)]
    if not good:  # a network wants an image; without an index it has no weight
        blank = torch.zeros(1, 3, spec.height, spec.width)
        return blank, torch.tensor([0]), torch.tensor([], dtype=torch.int64), errors
    views, labels, indices = zip(*good, strict=True)
    if len({view.shape for view in views}) > 1:  # resize_mode pad: padding makes them equal
        views = tuple(finish(view, spec) for view in views)
    return torch.stack(views), torch.tensor(labels), torch.tensor(indices), errors


def without_skipped(batches: Iterable[Any], epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Images, labels and indices of each batch; a warning for each image that it lacks.

    Args:
        batches: of `training_loader`.
        epoch: 1 for the first, for the warnings.

    Raises:
        DataError: if there are too many of them, which is known after `CHECKED` images.

    """
    skipped, seen = 0, 0
    for images, labels, indices, errors in batches:
        for error in errors[: max(0, NAMED - skipped)]:
            log.warning("%s; skipped in epoch %d", error, epoch)
        skipped, seen = skipped + len(errors), seen + len(indices) + len(errors)
        if seen >= CHECKED and skipped > MAX_UNREADABLE * seen:
            raise DataError(
                f"epoch {epoch}: {skipped:,} of {seen:,} images cannot be opened, more than "
                f"{MAX_UNREADABLE:.0%}; the last: {errors[-1] if errors else 'see above'}"
            )
        yield images, labels, indices
    if skipped:
        log.warning(
            "epoch %d: images that could not be opened and were skipped: %d", epoch, skipped
        )


def check_opened(share: float, epoch: int) -> None:
    """Raise DataError if too small a share of an epoch's images could be opened."""
    if 1 - share > MAX_UNREADABLE:
        raise DataError(
            f"epoch {epoch}: {1 - share:.0%} of the images cannot be opened, more than "
            f"{MAX_UNREADABLE:.0%}"
        )


def validation_loader(
    opened: OpenedImages, recipe: Recipe, num_processes: int = 1
) -> DataLoader[tuple[Tensor, int]]:
    """Batches of prepared images, in their order."""
    size = recipe.batch_size // num_processes
    images, workers = opened.images, _workers(recipe)
    if images.stream:
        batches = StreamedBatches(images, size)
        return DataLoader(ValidationImages(opened), batch_sampler=batches, **workers)
    return DataLoader(ValidationImages(opened), batch_size=size, **workers)


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
    """Turn failures of DataLoader workers, and of a stream, into errors of one line."""
    try:
        yield
    except RemoteError as error:
        raise DataError(f"{error}; once it can be read, run {folder.same_command}") from error
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
