"""Textures of surfaces: 256 × 256 values that tile without a seam."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from foodvision.drawings.outlines import Array


@cache
def cloud_texture() -> Array:
    """Smooth noise with bumps 16 pixels wide."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)) * 16
    spectrum = np.fft.fft2(rng.standard_normal((256, 256))) * np.exp(-np.square(2 * frequency))
    noise = np.fft.ifft2(spectrum).real
    return (noise / (2 * noise.std())).astype(np.float32)


@cache
def grain_texture() -> Array:
    """Heaped grains, 8 pixels wide and 14 long."""
    rng = np.random.default_rng(0)
    texture = np.full((256, 256), 0.3, np.float32)
    y, x = np.mgrid[-8:8, -8:8].astype(np.float32)
    for _ in range(1500):
        turn = rng.uniform(0, math.pi)
        along = (x * math.cos(turn) + y * math.sin(turn)) / 7.5
        across = (y * math.cos(turn) - x * math.sin(turn)) / 4
        inside = np.square(along) + np.square(across)
        row, column = rng.integers(0, 256, 2)
        window = np.ix_(np.arange(row, row + 16) % 256, np.arange(column, column + 16) % 256)
        top = rng.uniform(0.85, 1.05) * (1 - 0.45 * inside)
        texture[window] = np.where(inside < 1, top, texture[window])
    return texture
