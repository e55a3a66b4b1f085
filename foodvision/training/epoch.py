"""What is known of one pass over the training images: a line of history.jsonl."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from foodvision.probing.head import PenaltyFit


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images, and the validation after it.

    Attributes:
        epoch: 1 for the first.
        step: optimiser steps so far.
        train_loss: mean of what is minimised, with the recipe's mixing, smoothing, class weights
            and teacher: not comparable to log loss.
        train_accuracy: in 0-1, in training mode: share of the augmented training images, as each
            step sees them, whose most probable class is their label; of a mixed image, the label
            with the larger share. Lower than the accuracy on the images themselves.
        log_loss: on the validation images.
        accuracy: on the validation images, in 0-1.
        learning_rate: of the epoch's last step.
        seconds: of the epoch, with its validation; since it was resumed, if it was interrupted.
        images_per_second: training images per second, without validation.

    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    log_loss: float
    accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float

    @property
    def name(self) -> str:
        """How a log line calls it."""
        return f"epoch {self.epoch}"

    def to_dict(self) -> dict[str, Any]:
        """Plain types: a line of history.jsonl."""
        return asdict(self)


Past = TypeVar("Past", Epoch, PenaltyFit)


def best_of(history: list[Past]) -> Past:
    """The entry with the lowest validation log loss; NaN is the best only if all are NaN."""
    return min(history, key=lambda past: (math.isnan(past.log_loss), past.log_loss))
