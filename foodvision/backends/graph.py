"""An exported graph as a function: an image's pixels in, its logits and distance out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

Graph: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From uint8 RGB of shape (1, h, w, 3) to float32 of shape (K + 1,): logits and, in the last place,
how unfamiliar the image is (0 if that is unknown). May be called from several threads."""

RESIZED = "resized"
"""Name of the resized images within a graph: float32 (N, 3, H, W), values 0-255, not normalised."""


def joined(
    logits: Float[np.ndarray, "1 K"], distance: Float[np.ndarray, " 1"] | None
) -> Float[np.ndarray, " K1"]:
    """What a `Graph` returns."""
    unfamiliar = np.zeros(1, np.float32) if distance is None else distance
    return np.concatenate([logits[0], unfamiliar])
