"""What is wrong with one image file, or worth knowing about it, from its bytes.

The bytes of a file and the image that `open_image` made of them come in; `Fault`s go out. Pillow
decodes some damaged files without a word, so the file's own structure is checked as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import ExifTags, Image

from foodvision.errors import ImageError
from foodvision.images.decode import identifying

Severity: TypeAlias = Literal["error", "warning", "note"]

KINDS: dict[str, Severity] = {
    "unreadable": "error",
    "damaged": "error",
    "wrong extension": "warning",
    "tiny": "warning",
    "extreme shape": "warning",
    "huge": "note",
    "EXIF-rotated": "note",
    "alpha": "note",
    "CMYK": "note",
    "grey": "note",
}
"""The kinds of faults, the gravest first. `open_image` takes care of what is a note."""

MIN_SIDE = 32
"""An image with a shorter side in pixels is tiny: training would enlarge it."""

MAX_PIXELS = 24_000_000
"""An image of more pixels (6000 × 4000) is huge: it takes long to decode."""

MAX_RATIO = 4
"""An image with sides in this ratio has an extreme shape: a centre crop shows a quarter of it."""

_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi"},
    "PNG": {".png", ".apng"},
    "WEBP": {".webp"},
    "GIF": {".gif"},
    "BMP": {".bmp"},
    "TIFF": {".tif", ".tiff"},
    "AVIF": {".avif", ".avifs", ".heif", ".hif"},
    "HEIF": {".heic", ".heif", ".hif"},
    "PPM": {".ppm", ".pgm", ".pbm", ".pnm"},
}
_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B"}


@dataclass(frozen=True)
class Fault:
    """A fault of one image file.

    Attributes:
        kind: one of `KINDS`.
        detail: in a few words, with figures.

    """

    kind: str
    detail: str

    @property
    def severity(self) -> Severity:
        """``error``: the image is lost or damaged; ``warning``: look at it; ``note``: harmless."""
        return KINDS[self.kind]


def find_faults(name: str, content: bytes, opened: Image.Image) -> list[Fault]:
    """The faults of an image file that opens.

    Args:
        name: of the file; without a suffix, as for a row of Parquet, it cannot be wrong.
        content: of the file.
        opened: what `open_image` made of it, at any scale.

    """
    with identifying(content, name) as image:
        faults = [
            *_damage(image, name, content, opened),
            *_wrong_suffix(name, image),
            *_shape(image.width, image.height),
            *_conversions(image, opened),
        ]
    return sorted(faults, key=lambda fault: list(KINDS).index(fault.kind))


def find_unrecognised(name: str, content: bytes) -> list[Fault]:
    """The fault of an image that is left out because of its suffix; none if it is no image."""
    try:
        with identifying(content, name) as image:
            return [Fault("wrong extension", f"is {image.format}, and is left out")]
    except ImageError:
        return []


def _wrong_suffix(name: str, image: Image.Image) -> Iterator[Fault]:
    """Whether the name of a file says that it is of another format than it is."""
    found = "JPEG" if image.format == "MPO" else image.format or ""  # a phone's JPEG with a preview
    suffix = Path(name).suffix.lower()
    if suffix and suffix not in _SUFFIXES.get(found, {suffix}):
        yield Fault("wrong extension", f"is {found}, not {suffix}")


def _damage(image: Image.Image, name: str, content: bytes, opened: Image.Image) -> Iterator[Fault]:
    if image.format in ("JPEG", "MPO"):
        # libjpeg fills what it cannot decode with mid-grey, and Pillow does not report it.
        if share := _grey_border(opened):
            yield Fault("damaged", f"about {share:.0%} is plain grey, as after damaged data")
        elif content.find(b"\xff\xd9", _first_scan(content)) < 0:
            yield Fault("damaged", "has no end marker, so it was probably cut off")
    elif image.format == "PNG":
        try:
            with identifying(content, name) as unread:
                unread.verify()  # the checksums, which decoding skips
        except Exception as error:  # as many types as there are ways to be damaged
            yield Fault("damaged", f"a checksum is wrong ({error})")


def _first_scan(content: bytes) -> int:
    """Where a JPEG's pixels begin: the metadata before may hold a preview with its own end marker.

    After the end, anything may follow: a phone appends the video of a motion photo.
    """
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] not in (b"\xda", b""):
        padding = content[at + 1] == 0xFF  # before a marker, any number of such bytes
        at += 1 if padding else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return at


def _grey_border(opened: Image.Image) -> float:
    """The share of the rows, or of the columns if it was rotated, at one edge that are mid-grey.

    0 if the opposite edge is as well: that is padding.
    """
    grey = (np.asarray(opened) == 128).all(axis=2)
    for axis in (0, 1):
        lines = grey.all(axis=1 - axis)
        if lines[0] != lines[-1]:
            return float((lines if lines[0] else lines[::-1]).argmin() / len(lines))
    return 0.0


def _shape(width: int, height: int) -> Iterator[Fault]:
    size = f"{width} × {height} px"
    short, long = sorted((width, height))
    if short < MIN_SIDE:
        yield Fault("tiny", size)
    if long >= MAX_RATIO * short:
        yield Fault("extreme shape", size)
    if width * height > MAX_PIXELS:
        yield Fault("huge", f"{size}, {width * height / 1e6:.0f} megapixels")


def _conversions(image: Image.Image, opened: Image.Image) -> Iterator[Fault]:
    """What `open_image` turned, composited or converted."""
    with suppress(Exception):  # damaged EXIF does not make the pixels unusable
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        if orientation in range(2, 9):
            yield Fault("EXIF-rotated", f"orientation {orientation}")
    if image.has_transparency_data:
        yield Fault("alpha", f"mode {image.mode}, shown on white")
    if image.mode == "CMYK":
        yield Fault("CMYK", "converted to RGB")
    if image.mode in _GREY_MODES:
        yield Fault("grey", f"mode {image.mode}")
    elif np.ptp(np.asarray(opened.resize((16, 16))).astype(int), axis=2).max() <= 1:
        yield Fault("grey", f"mode {image.mode} without colour")
