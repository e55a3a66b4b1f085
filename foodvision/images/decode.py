"""The one place that opens an image: path, URL, bytes, file or PIL image in, upright sRGB out.

Training, evaluation, prediction and the apps all open images here, so that the same phone photo
cannot lie on its side in one of them. Whatever is wrong with an image becomes an `ImageError`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from foodvision.errors import ImageError

ImageSource: TypeAlias = str | Path | bytes | BinaryIO | Image.Image

MAX_PIXELS = 178_956_970
"""Largest width × height that is opened, as in Pillow; half of that for WebP, whose decoder holds
four copies. Opening takes at most 12 bytes per pixel, so no image takes more than about 2 GB."""

MAX_SIDE = 10_000_000
"""Largest width or height that is opened: Pillow keeps a pointer to each row."""

MAX_PROFILE_BYTES = 8_000_000
"""A larger ICC profile is ignored; those of printers are below 3 MB."""

MAX_DOWNLOAD_BYTES = 50_000_000
MAX_DOWNLOAD_SECONDS = 30.0

SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi"),
    *(".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".avifs", ".heic", ".heif", ".hif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
}
"""Suffixes (lower case) by which images in a folder are recognised."""

# An allow-list: Pillow also opens formats that start other programs (EPS runs Ghostscript).
_FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"]
_BAND = 1 << 18  # pixels
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

# Pillow warns either of something harmless (damaged EXIF) or of what is an error here (a bomb).
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(source: ImageSource, min_side: int | None = None) -> Image.Image:
    """Open an image as upright 8-bit sRGB.

    The EXIF orientation is applied, an ICC profile is converted to sRGB, transparency is
    composited on white and 16 bits are scaled to 8. An animation gives its first frame.

    Args:
        source: a path, an http(s) URL (at most 50 MB within 30 s), the bytes of an image file,
            a binary file object, or a PIL image.
        min_side: let a JPEG be decoded at 1/2, 1/4 or 1/8 of its size, as long as its shorter
            side keeps at least this many pixels. None decodes in full.

    Returns:
        A PIL image of mode ``RGB``, values 0-255; `source` itself if it is one already.

    Raises:
        ImageError: whatever is wrong with the image; it names the source and the reason.

    """
    name = source_name(source)
    try:
        if isinstance(source, Image.Image):
            source.load()
            return _to_srgb(_upright(source))
        with _open_file(source, name) as file, _identify(file, name) as image:
            _check_size(image, name)
            if min_side is not None:
                # Pillow picks the smallest of its scales that is not below this size.
                scale = min_side / min(image.size)
                width, height = (max(1, round(side * scale)) for side in image.size)
                image.draft(None, (width, height))
            image.load()
            return _to_srgb(_upright(image, in_place=True))
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(name, "needs more memory than is free") from error
    except Image.DecompressionBombError as error:
        raise ImageError(name, f"over the limit of {MAX_PIXELS} pixels") from error
    except Exception as error:
        # Pillow's decoders raise a dozen types on damaged files (struct.error, KeyError, ...).
        raise ImageError(name, f"truncated or damaged ({error})") from error


def source_name(source: ImageSource) -> str:
    """What messages call a source: its path or URL, or ``<bytes>`` and the like."""
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, bytes):
        return "<bytes>"
    return str(getattr(source, "filename", "") or getattr(source, "name", "") or "<image>")


def is_url(source: object) -> bool:
    """Whether a source is an http(s) URL rather than a path."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in horizontal bands that fit into the processor's cache, each with its top row."""
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _open_file(source: str | Path | bytes | BinaryIO, name: str) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, str) and is_url(source):
        from foodvision.files.web import WebError, read_url

        try:
            return io.BytesIO(read_url(source, MAX_DOWNLOAD_BYTES, MAX_DOWNLOAD_SECONDS))
        except WebError as error:
            raise ImageError(name, str(error)) from error
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            raise ImageError(name, "is a folder, not an image")
        if not path.is_file():
            raise ImageError(name, "no such file")
        try:
            return path.open("rb")
        except OSError as error:
            raise ImageError(name, f"cannot be read ({error.strerror})") from error
    if hasattr(source, "read"):
        return io.BytesIO(source.read())  # a copy: the caller closes the file
    raise TypeError(f"open_image takes a path, URL, bytes, file or PIL image, not {type(source)}")


def _identify(file: BinaryIO, name: str) -> Image.Image:
    header = file.read(12)
    file.seek(0)
    if not header:
        raise ImageError(name, "the file is empty")
    formats = _FORMATS
    if header[4:8] == b"ftyp" and header[8:12] in _HEIF_BRANDS:
        if not find_spec("pillow_heif"):
            raise ImageError(name, "HEIC images need an extra: pip install 'foodvision[data]'")
        import pillow_heif

        pillow_heif.register_heif_opener()
        formats = ["HEIF"]
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise ImageError(
            name, "not an image that can be read (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC)"
        ) from error


def _check_size(image: Image.Image, name: str) -> None:
    """Refuse an image that would take too much memory, before it is decoded."""
    width, height = image.size
    tile = getattr(image, "tag_v2", {})  # TIFF decodes tile by tile, however small the image
    tile_pixels = tile.get(ExifTags.Base.TileWidth, 0) * tile.get(ExifTags.Base.TileLength, 0)
    limit = MAX_PIXELS // 2 if image.format == "WEBP" else MAX_PIXELS
    if max(width * height, tile_pixels) > limit:
        raise ImageError(name, f"{width}×{height} is over the limit of {limit} pixels")
    if max(width, height) > MAX_SIDE:
        raise ImageError(name, f"{width}×{height} is over the limit of {MAX_SIDE} pixels a side")


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile", b"")
    profile = profile if len(profile) <= MAX_PROFILE_BYTES else b""
    plain = image.mode == "RGB" and not image.has_transparency_data
    if plain and not (profile and _srgb_transform(profile, "RGB")):
        return image
    # Band by band, because intermediates take up to 16 bytes per pixel.
    converted = Image.new("RGB", image.size)
    for top, band in bands(image):
        converted.paste(_band_to_srgb(band, profile), (0, top))
    return converted


def _band_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ValueError("its values have no known range; save it with 8 or 16 bits")
        image = Image.fromarray(np.round(values / 257.0).astype(np.uint8))
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode in ("P", "RGBA"):
        image = image.convert("RGB")
    transform = _srgb_transform(profile, image.mode) if profile else None
    # applyTransform returns None only when it works in place.
    image = (transform and ImageCms.applyTransform(image, transform)) or image.convert("RGB")
    if alpha is not None:
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=alpha)
        return white
    return image


def _upright(image: Image.Image, in_place: bool = False) -> Image.Image:
    with suppress(Exception):  # damaged EXIF does not make the pixels unusable
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            if not in_place:
                return ImageOps.exif_transpose(image)
            ImageOps.exif_transpose(image, in_place=True)
    return image


@lru_cache(maxsize=8)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion from an embedded profile to sRGB; None if there is nothing to convert.

    A damaged profile, or one for other channels than the image has, is ignored, as in browsers.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(source).startswith("sRGB"):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
