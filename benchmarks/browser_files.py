"""Writes what `browser_page` gives to a page: photographs in the formats that visitors have."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from foodvision.images.decode import SUFFIXES, open_image

# Red, green and blue as XYZ under D50.
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03134, 0.00009, 0.82491))

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def write_images(folder: Path, photos: Path) -> list[Path]:
    """20 images, each of another photograph drawn at random from below `photos`."""
    found = sorted(p for p in photos.rglob("*") if p.suffix.lower() in SUFFIXES)
    chosen = iter([open_image(path) for path in random.Random(0).sample(found, 20)])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        lying = next(chosen).transpose(UPRIGHT[orientation]) if orientation > 1 else next(chosen)
        lying.save(folder / f"exif-{orientation}.jpg", exif=exif, quality=92)
    next(chosen).save(folder / "plain.jpg", quality=90)
    next(chosen).save(folder / "progressive.jpg", progressive=True, quality=80, subsampling=2)
    next(chosen).convert("L").save(folder / "grey.jpg", quality=90)
    next(chosen).save(folder / "plain.png")
    see_through(next(chosen)).save(folder / "alpha.png")
    see_through(next(chosen)).save(folder / "alpha.webp", lossless=True)
    exif[0x0112] = 6
    next(chosen).transpose(UPRIGHT[6]).save(folder / "exif-6.webp", quality=85, exif=exif)
    next(chosen).save(folder / "plain.gif")
    save_in_profile(next(chosen), folder / "display-p3.jpg", DISPLAY_P3)
    save_in_profile(next(chosen), folder / "prophoto.png", PROPHOTO)
    grey = np.asarray(next(chosen).convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(folder / "16-bit-grey.png")
    (folder / "16-bit.png").write_bytes(sixteen_bit_png(next(chosen)))
    return sorted(folder.iterdir())


UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What turns an upright image into the one that its EXIF orientation turns back."""


def see_through(image: Image.Image) -> Image.Image:
    """With an alpha channel from 0 at the top to 255 at the bottom."""
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def save_in_profile(
    image: Image.Image, path: Path, primaries: tuple[tuple[float, float, float], ...]
) -> None:
    """Save an image with its colours in another colour space, whose profile is embedded."""
    profile = profile_of(primaries)
    converted = ImageCms.profileToProfile(image, SRGB, profile)
    assert converted is not None
    converted.save(path, icc_profile=profile.tobytes(), quality=92)


def profile_of(
    primaries: tuple[tuple[float, float, float], ...],
) -> ImageCms.ImageCmsProfile:
    """The profile of sRGB with other primaries."""
    content = bytearray(SRGB.tobytes())
    (count,) = struct.unpack(">I", content[128:132])
    for i in range(count):
        tag, offset, _ = struct.unpack(">4sII", content[132 + 12 * i : 144 + 12 * i])
        if tag in (names := (b"rXYZ", b"gXYZ", b"bXYZ")):
            xyz = [round(65536 * value) for value in primaries[names.index(tag)]]
            content[offset + 8 : offset + 20] = struct.pack(">3i", *xyz)
    renamed = bytes(content).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
    return ImageCms.ImageCmsProfile(io.BytesIO(renamed))


def sixteen_bit_png(image: Image.Image) -> bytes:
    """A PNG with 16 bits in each channel, which Pillow reads and does not write."""
    values = (np.asarray(image).astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
