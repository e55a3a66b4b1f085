"""A sketch: a tiny copy of an image, small enough to keep a million of them in memory.

`duplicates` compares sketches, so no image is opened twice.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 32
"""Pixels along both sides of the grey part, whatever the shape of the image."""

COLOUR_SIDE = 8
"""Pixels along both sides of each of the two colour parts."""

LENGTH = SIDE**2 + 2 * COLOUR_SIDE**2
"""Bytes of a sketch."""

MIN_SIDE = 2 * SIDE
"""What `open_image` is to keep of a JPEG: enough for a smooth reduction."""


def sketch(image: Image.Image) -> np.ndarray:
    """Reduce an image to its luma, 32 × 32, and its two chroma channels (as in JPEG), 8 × 8 each.

    Args:
        image: as `open_image` returns it.

    Returns:
        uint8 of shape (LENGTH,).

    """
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=3)
    pixels = np.asarray(small.convert("YCbCr"))
    block = SIDE // COLOUR_SIDE
    chroma = pixels[..., 1:].reshape(COLOUR_SIDE, block, COLOUR_SIDE, block, 2).mean((1, 3))
    return np.concatenate([pixels[..., 0].ravel(), np.rint(chroma).astype(np.uint8).ravel()])
