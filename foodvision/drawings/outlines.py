"""Outlines of objects as signed distance functions, built from lengths in pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

Shape: TypeAlias = Callable[[Array, Array], Array]
"""x and y in pixels from the centre → distance to the outline in pixels, negative inside."""


def disc(r: float) -> Shape:
    """A circle of radius r."""
    return lambda x, y: np.hypot(x, y) - r


def capsule(half: float, r: float) -> Shape:
    """All points within r of a segment that is 2 · half long."""
    return lambda x, y: np.hypot(np.maximum(np.abs(x) - half, 0), y) - r


def box(half_width: float, half_height: float, corner: float) -> Shape:
    """A rectangle whose corners have this radius."""

    def shape(x: Array, y: Array) -> Array:
        dx, dy = np.abs(x) - (half_width - corner), np.abs(y) - (half_height - corner)
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        return outside + np.minimum(np.maximum(dx, dy), 0) - corner

    return shape


def leaf(half_length: float, half_width: float) -> Shape:
    """The overlap of two equal circles."""
    r = (half_length**2 + half_width**2) / (2 * half_width)
    return lambda x, y: np.hypot(x, np.abs(y) + (r - half_width)) - r


def strip(r: float, width: float) -> Shape:
    """A bent strip, like one of bell pepper."""
    return lambda x, y: np.maximum(np.abs(np.hypot(x, y + r * 0.6) - r) - width, -y)


def mushroom(r: float) -> Shape:
    """A slice of a mushroom: half a circle on a stem."""
    cap, stem = disc(r), box(r * 0.28, r, 0.5)
    return lambda x, y: np.minimum(np.maximum(cap(x, y), y), stem(x, y))


def blob(r: float, rng: np.random.Generator, wobble: float) -> Shape:
    """A circle whose radius varies by about the share `wobble` around its edge."""
    waves = [(k, rng.normal(0, wobble / math.sqrt(k)), rng.uniform(0, 6.3)) for k in (2, 3, 4, 6)]

    def shape(x: Array, y: Array) -> Array:
        angle = np.arctan2(y, x)
        swing = sum(size * np.cos(k * angle + phase) for k, size, phase in waves)
        return np.hypot(x, y) - r * (1 + swing)

    return shape
