"""The memory that opening an image takes: estimated before it is decoded, and bounded.

An image whose pixels are not decoded yet comes in; the bytes that decoding and converting it will
take go out. One image may take `MAX_BYTES`, and all that are being opened at once `BUDGET`.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, TypeAlias

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

ResizedSize: TypeAlias = Callable[[int, int], tuple[int, int]]
"""Height and width of an image before and after it is resized; `ImageSpec.resized_size` is one."""

MAX_BYTES = 392 << 20
"""Memory that one image may take: 48 megapixels as PNG, 24 (6000 × 4000) as WebP or AVIF."""

BUDGET = min(1 << 30, max(MAX_BYTES, (96 << 20) * (os.cpu_count() or 1)))
"""Memory that all images being opened at once may take: 12 megapixels for each core, up to 1 GiB.
"""

MAX_FILE_BYTES = 200_000_000
"""A larger file is not read: its metadata alone could fill the memory."""

MAX_READS = 1_000_000
"""Parts of a file that are read one by one; a large PNG has some ten thousand."""

MAX_SCANS = 100
"""Of a JPEG; a progressive one has about ten, and each is a pass over the whole image."""

# Measured peaks, which conversion to RGB determines unless the decoder keeps copies of its own.
_BYTES_PER_PIXEL = {"WEBP": 17, "AVIF": 17, "HEIF": 8.2}
_CONVERTED, _DECODED = 8.5, 4


class TooLargeError(Exception):
    """An image that would take too much memory or time."""


class BoundedReader(io.BufferedReader):
    """A file that Pillow reads in at most `MAX_READS` parts.

    Its parsers skip what they do not know byte by byte, which takes minutes in a large file.
    """

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        """As `io.BufferedReader.read`.

        Raises:
            TooLargeError: after `MAX_READS` calls.

        """
        self.reads += 1
        if self.reads > MAX_READS:
            raise TooLargeError("damaged, or of too many parts to be read")
        return super().read(size)


def fit(
    image: Image.Image, file: BinaryIO, min_side: int | None, resized_size: ResizedSize | None
) -> int:
    """Choose the scale of a JPEG; return the bytes that opening the image will take.

    Args:
        image: not decoded yet; a JPEG's scale is set by `PIL.Image.Image.draft`.
        file: it was opened from.
        min_side: as for `open_image`.
        resized_size: from the image's height and width, to what it will be scaled to. `min_side`
            allows only scales that leave it the same: a JPEG's reduced sides are rounded up.

    Raises:
        TooLargeError: if the image would take more than `MAX_BYTES` at every scale.

    """
    width, height = image.size
    if isinstance(image, JpegImageFile):
        needed = _fit_jpeg(image, file, min_side, resized_size)
    else:
        needed = _needed(image)
    if needed > MAX_BYTES:
        raise TooLargeError(
            f"{width}×{height} pixels would take {needed / 1e6:,.0f} MB of memory as "
            f"{image.format}; an image may take {MAX_BYTES / 1e6:.0f} MB; make it smaller"
        )
    return int(needed)


def _needed(image: Image.Image) -> float:
    pixels = image.width * image.height
    needed = 16 * image.height + pixels * _BYTES_PER_PIXEL.get(image.format or "", _CONVERTED)
    if image.format == "TIFF" and image.info.get("compression") != "raw":
        # libtiff holds a strip or tile, as it is in the file and decoded: up to 8 bytes each.
        tags: Any = getattr(image, "tag_v2", {})
        rows = tags.get(ExifTags.Base.RowsPerStrip, image.height)
        tile = tags.get(ExifTags.Base.TileWidth, 0) * tags.get(ExifTags.Base.TileLength, 0)
        needed = max(needed, _DECODED * pixels + 16 * max(tile, min(pixels, rows * image.width)))
    return needed


def _fit_jpeg(
    image: JpegImageFile, file: BinaryIO, min_side: int | None, resized_size: ResizedSize | None
) -> float:
    file.seek(0)
    scans = sum(chunk.count(b"\xff\xda") for chunk in iter(partial(file.read, 1 << 20), b""))
    if scans > MAX_SCANS:
        raise TooLargeError(f"has {scans:,} scans; at most {MAX_SCANS} are decoded")
    width, height = image.size
    sampling = [h * v for _, h, v, _ in image.layer] or [1, 1, 1]
    # With several scans, libjpeg keeps every coefficient in 2 bytes, whatever the scale.
    kept = 2 * width * height * sum(sampling) / max(sampling) if scans > 1 else 0
    for scale in (1, 2, 4, 8):
        pixels = width * height / scale**2
        if (needed := max(_CONVERTED * pixels, _DECODED * pixels + kept)) <= MAX_BYTES:
            break
    for coarser in (2, 4, 8):
        if min_side and _is_precise(image.size, coarser, min_side, resized_size):
            scale = max(scale, coarser)
    # Pillow picks the smallest of its scales that is not below this size.
    image.draft(None, (max(1, width // scale), max(1, height // scale)))
    return min(needed, _CONVERTED * image.width * image.height + kept)


def _is_precise(
    size: tuple[int, int], scale: int, min_side: int, resized_size: ResizedSize | None
) -> bool:
    """Whether an image that is decoded at 1/scale will look the same when it is resized."""
    if min(size) // scale < min_side:
        return False
    if resized_size is None:
        return True
    # Rounding moves the centre crop by a pixel if it changes the size that is cropped. Which side
    # is the height depends on the orientation in EXIF: both ways must do.
    width, height = size
    short_width, short_height = -(-width // scale), -(-height // scale)  # as libjpeg rounds
    return resized_size(height, width) == resized_size(short_height, short_width) and (
        resized_size(width, height) == resized_size(short_width, short_height)
    )


class Budget:
    """An amount that threads share; whoever wants more than is left waits."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._reset()
        if hasattr(os, "register_at_fork"):  # Windows does not fork
            # A child has none of the threads that hold a part or the lock.
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._left, self._changed = self.total, threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Hold an amount for `with`; one above the total waits until it can have everything."""
        amount = min(amount, self.total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()
