"""A torch network over any number of images: files in, one answer each out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from foodvision.errors import ImageError
from foodvision.images.decode import ImageSource
from foodvision.images.spec import ImageSpec
from foodvision.images.transforms import open_pixels, prepare
from foodvision.prefetch import prefetch

Answer = TypeVar("Answer")


def in_batches(
    compute: Callable[[Tensor], Tensor],
    sources: Iterable[ImageSource],
    spec: ImageSpec,
    device: torch.device,
    batch_size: int,
) -> Iterator[np.ndarray | ImageError]:
    """What a network computes for each image, as numbers; see `answers_in_batches`.

    Args:
        compute: from images (B, C, H, W) to rows (B, D), both on `device`.
        sources: what `open_image` takes.
        spec: how an image is prepared.
        device: of the network.
        batch_size: images at a time.

    Returns:
        float32 of shape (D,) for each image.

    """

    def rows(images: Tensor) -> np.ndarray:
        return compute(images).float().cpu().numpy()

    return answers_in_batches(rows, sources, spec, device, batch_size)


@torch.inference_mode()
def answers_in_batches(
    compute: Callable[[Tensor], Iterable[Answer]],
    sources: Iterable[ImageSource],
    spec: ImageSpec,
    device: torch.device,
    batch_size: int,
) -> Iterator[Answer | ImageError]:
    """What a network answers for each image, or why the image cannot be opened, in their order.

    Images are decoded in threads, at most two batches ahead of the network.

    Args:
        compute: from images (B, C, H, W) on `device` to B answers.
        sources: what `open_image` takes.
        spec: how an image is prepared.
        device: of the network.
        batch_size: images at a time.

    """

    def prepared(source: ImageSource) -> Tensor | ImageError:
        try:
            return prepare(open_pixels(source, spec), spec)
        except ImageError as error:
            return error

    with closing(prefetch(prepared, sources, 2 * batch_size)) as results:
        while batch := list(islice(results, batch_size)):
            images = [result for result in batch if isinstance(result, Tensor)]
            answers: Iterator[Answer] = iter(())
            if images:
                answers = iter(compute(torch.stack(images).to(device)))
            yield from (x if isinstance(x, ImageError) else next(answers) for x in batch)
