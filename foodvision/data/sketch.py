"""A sketch: a tiny copy of an image, small enough to keep a million of them in memory.

`duplicates` compares sketches, so no image is opened twice.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 32
"""Pixels along both sides of the luma, whatever the shape of the image."""

CHROMA_SIDE = 8
"""Pixels along both sides of each chroma channel."""

LENGTH = SIDE**2 + 2 * CHROMA_SIDE**2
"""Bytes of a sketch."""

MIN_SIDE = 2 * SIDE
"""For `open_image`: what a JPEG is to keep, so that its sketch is smooth."""


def sketch(image: Image.Image) -> np.ndarray:
    """Reduce an image to its luma, 32 × 32, and its two chroma channels (as in JPEG), 8 × 8 each.

    Args:
        image: as `open_image` returns it.

    Returns:
        uint8 of shape (LENGTH,).

    """
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=3)
    pixels = np.asarray(small.convert("YCbCr"))
    block = SIDE // CHROMA_SIDE
    colours = pixels[..., 1:].reshape(CHROMA_SIDE, block, CHROMA_SIDE, block, 2).mean((1, 3))
    parts = (pixels[..., 0], np.rint(np.moveaxis(colours, 2, 0)).astype(np.uint8))
    return np.concatenate([part.ravel() for part in parts])


def luma(sketches: np.ndarray) -> np.ndarray:
    """The luma of sketches of shape (n, LENGTH): float32 of shape (n, SIDE, SIDE), 0-255."""
    return sketches[:, : SIDE**2].reshape(-1, SIDE, SIDE).astype(np.float32)


def chroma(sketches: np.ndarray) -> np.ndarray:
    """Their chroma: float32 of shape (n, 2, CHROMA_SIDE, CHROMA_SIDE), 0 for grey."""
    colours = sketches[:, SIDE**2 :].astype(np.float32) - 128
    return colours.reshape(-1, 2, CHROMA_SIDE, CHROMA_SIDE)


def mirrored(sketches: np.ndarray) -> np.ndarray:
    """The sketches of the mirror images; both of shape (n, LENGTH)."""
    places = np.arange(LENGTH)
    parts = places[: SIDE**2].reshape(SIDE, SIDE), places[SIDE**2 :].reshape(-1, CHROMA_SIDE)
    return sketches[:, np.concatenate([part[:, ::-1].ravel() for part in parts])]
