"""An image's pixels as an array, at the resolution that a spec needs; no torch."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from foodvision.errors import ImageError
from foodvision.images.decode import ImageSource, bands, opening, source_name
from foodvision.images.spec import ImageSpec


def read_pixels(source: ImageSource, spec: ImageSpec) -> UInt8[np.ndarray, "h w 3"]:
    """Open an image at the resolution that the spec needs.

    Raises:
        ImageError: as `open_image` does.

    """
    target = max(spec.height, spec.width, spec.resize_size or 0)
    min_side = 2 * target if spec.reduced_decode else None
    with opening(source, min_side, spec.resized_size) as image:
        try:
            pixels = np.empty((image.height, image.width, 3), np.uint8)
        except MemoryError as error:
            raise ImageError(source_name(source), "needs more memory than is free") from error
        # Four times as fast as np.array, which also holds the image twice.
        for top, band in bands(image):
            pixels[top : top + band.height] = np.asarray(band)
    return pixels
