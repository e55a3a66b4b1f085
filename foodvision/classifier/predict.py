"""The prediction for one image, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        path: where the image came from.
        label: the most probable class; None if the image could not be opened.
        probability: of that class, in 0-1.
        probabilities: of every class, summing to 1, the most probable first.
        sure: False if the probability is below the threshold, or if the image is unlike those the
            classifier knows; None if it has not been calibrated and there is no threshold.
        error: why the image could not be opened; None if it was.

    """

    path: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    sure: bool | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)


def answer(
    path: str,
    logits: np.ndarray,
    classes: Sequence[str],
    threshold: float | None = None,
    familiar: bool = True,
) -> Prediction:
    """The prediction that K logits are, for K classes; see `Prediction.sure` for the last two."""
    # Not scipy.special.softmax, whose import takes a quarter of a second.
    odds = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = odds / odds.sum()
    order = np.argsort(-probabilities, kind="stable")
    ranked = {classes[i]: float(probabilities[i]) for i in order}
    label = next(iter(ranked))
    sure = None if threshold is None else ranked[label] >= threshold and familiar
    return Prediction(path, label, ranked[label], ranked, sure)
