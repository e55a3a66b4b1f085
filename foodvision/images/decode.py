"""The one place that opens an image: path, URL, bytes, array, … in, upright sRGB out.

Training, evaluation, prediction and the apps all open images here, so that the same phone photo
cannot lie on its side in one of them. Whatever is wrong with an image becomes an `ImageError`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from foodvision.errors import ImageError
from foodvision.images.memory import (
    BUDGET,
    MAX_FILE_BYTES,
    BoundedReader,
    Budget,
    ResizedSize,
    TooLargeError,
    fit,
)
from foodvision.images.source import open_source

Array: TypeAlias = Any  # NumPy's, or torch's, which is not imported here
ImageSource: TypeAlias = (
    str | Path | bytes | bytearray | memoryview | BinaryIO | Image.Image | Array
)

MAX_PROFILE_BYTES = 8_000_000
"""A larger ICC profile is ignored; those of printers are below 3 MB."""

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
_NO_RANGE = "its values are 32-bit numbers of no known range; save it with 8 or 16 bits"
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

_budget = Budget(BUDGET)

# Pillow warns either of something harmless (damaged EXIF) or of what is an error here (a bomb).
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(source: ImageSource, min_side: int | None = None) -> Image.Image:
    """Open an image as upright 8-bit sRGB.

    The EXIF orientation is applied, an ICC profile is converted to sRGB, transparency is
    composited on white and 16 bits are scaled to 8. An animation gives its first frame.

    No image takes more than `memory.MAX_BYTES`. A JPEG that would is decoded at 1/2, 1/4 or 1/8 of
    its size, any other image is refused. Threads wait while others use the memory.

    Args:
        source: a path, an http(s) URL (at most 50 MB within 30 s), an address that fsspec reads
            (``s3://…``), a row of a Parquet file (``photos.parquet#17``), the content of an image
            file, a binary file object or a PIL image; or pixels: uint8 in RGB or grey, a NumPy
            array of shape (H, W, 3) or (H, W), or a torch tensor of shape (3, H, W) or (1, H, W)
            as torchvision's ``decode_image`` returns.
        min_side: let a JPEG be decoded at 1/2, 1/4 or 1/8 of its size, as long as its shorter
            side keeps at least this many pixels. None decodes in full.

    Returns:
        A PIL image of mode ``RGB``, values 0-255; `source` itself if it is one already.

    Raises:
        ImageError: whatever is wrong with the image; it names the source and the reason.

    """
    with opening(source, min_side) as image:
        return image


@contextmanager
def opening(
    source: ImageSource, min_side: int | None = None, resized_size: ResizedSize | None = None
) -> Iterator[Image.Image]:
    """As `open_image` and `memory.fit` say, for `with`: its memory counts as used until the end."""
    with ExitStack() as held:
        yield _opened(source, held, min_side, resized_size)


def _opened(
    source: ImageSource, held: ExitStack, min_side: int | None, resized_size: ResizedSize | None
) -> Image.Image:
    name = source_name(source)
    try:
        if hasattr(source, "__array__") and not isinstance(source, Image.Image):
            return Image.fromarray(_pixels(source, name)).convert("RGB")
        if isinstance(source, Image.Image):
            source.load()
            return _to_srgb(_upright(source), name)
        with (
            BoundedReader(open_source(source, name)) as file,
            _identify(file, name) as image,
        ):
            if image.mode == "F":
                raise ImageError(name, _NO_RANGE)
            held.enter_context(_budget.taken(fit(image, file, min_side, resized_size)))
            image.load()
            return _to_srgb(_upright(image, in_place=True), name)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(name, "needs more memory than is free") from error
    except TooLargeError as error:
        raise ImageError(name, str(error)) from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(name, f"is over the limit of {limit:,} pixels; make it smaller") from error
    except Exception as error:
        # Pillow's decoders raise a dozen types on damaged files (struct.error, KeyError, ...).
        raise ImageError(name, f"truncated or damaged ({error})") from error


@contextmanager
def identifying(content: bytes, name: str) -> Iterator[Image.Image]:
    """The image in a file before it is decoded: its format, mode, size and metadata, for `with`.

    Raises:
        ImageError: if it is no image that `open_image` takes.

    """
    with BoundedReader(io.BytesIO(content)) as file, _identify(file, name) as image:
        yield image


def source_name(source: ImageSource) -> str:
    """What messages call a source: its path or URL, or ``<bytes>`` and the like."""
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>"
    if hasattr(source, "__array__") and not isinstance(source, Image.Image):
        return "<array>"
    return str(getattr(source, "filename", "") or getattr(source, "name", "") or "<image>")


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in horizontal bands that fit into the processor's cache, each with its top row."""
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _pixels(array: Array, name: str) -> np.ndarray:
    """Height, width and, unless it is grey, 3 channels: of a NumPy array, or a torch tensor."""
    wanted = "(H, W, 3) or (H, W)"
    shape, kind = tuple(array.shape), str(array.dtype).removeprefix("torch.")
    allowed = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
    if type(array).__module__.startswith("torch"):
        wanted = "(3, H, W) or (1, H, W)"
        allowed = len(shape) == 3 and shape[0] in (1, 3)
    if not allowed or kind != "uint8" or 0 in shape:
        raise ImageError(
            name, f"an array of an image is uint8 of shape {wanted}, not {kind} of {shape}"
        )
    if not isinstance(array, np.ndarray):
        array = np.asarray(array.cpu() if hasattr(array, "cpu") else array)
    if wanted.startswith("(3"):
        return array[0] if shape[0] == 1 else np.moveaxis(array, 0, 2)
    return array


def _identify(file: BinaryIO, name: str) -> Image.Image:
    header = file.read(12)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not header:
        raise ImageError(name, "the file is empty")
    if size > MAX_FILE_BYTES:
        raise ImageError(name, f"is larger than {MAX_FILE_BYTES / 1e6:.0f} MB")
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


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    profile = image.info.get("icc_profile", b"")
    profile = profile if len(profile) <= MAX_PROFILE_BYTES else b""
    plain = image.mode == "RGB" and not image.has_transparency_data
    if plain and not (profile and _srgb_transform(profile, "RGB")):
        return image
    # Band by band, because intermediates take up to 16 bytes per pixel.
    converted = Image.new("RGB", image.size)
    for top, band in bands(image):
        converted.paste(_band_to_srgb(band, profile, name), (0, top))
    return converted


def _band_to_srgb(image: Image.Image, profile: bytes, name: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ImageError(name, _NO_RANGE)
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
