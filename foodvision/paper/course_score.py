"""A test result, counted our way and the course's: over images, and as a mean of batch means.

The course's accuracy is no share of the images, because an incomplete last batch weighs as much as
a whole one: of 75 images in batches of 32, each of the last 11 counts 2.9 times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foodvision.metrics import wilson_interval
from foodvision.paper.course_figures import BATCH_SIZE


@dataclass(frozen=True)
class BothWays:
    """The score of a model on n test images.

    Attributes:
        n: number of images.
        log_loss: mean over images of −log p(true class), in nats.
        accuracy: in 0-1.
        accuracy_ci95: Wilson's 95 % interval.
        course_log_loss: the mean of batch means of the same losses.
        course_accuracy: the mean of batch means of the same answers.

    """

    n: int
    log_loss: float
    accuracy: float
    accuracy_ci95: tuple[float, float]
    course_log_loss: float
    course_accuracy: float


def count_both_ways(losses: Sequence[float], right: Sequence[bool]) -> BothWays:
    """Count a result both ways.

    Args:
        losses: −log p(true class) of each image, class after class, as the course's loader has
            its test images.
        right: whether the answer is the true class, in the same order.

    """
    return BothWays(
        n=len(losses),
        log_loss=float(np.mean(losses)),
        accuracy=float(np.mean(right)),
        accuracy_ci95=wilson_interval(int(np.sum(right)), len(right)),
        course_log_loss=mean_of_batch_means(losses),
        course_accuracy=mean_of_batch_means(right),
    )


def mean_of_batch_means(values: Sequence[float]) -> float:
    """The mean of the means of batches of `BATCH_SIZE`, the last of which may be incomplete."""
    starts = range(0, len(values), BATCH_SIZE)
    return float(np.mean([np.mean(values[i : i + BATCH_SIZE]) for i in starts]))
