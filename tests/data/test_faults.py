from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import ExifTags, Image

from foodvision.data.faults import find_faults, find_unrecognised
from foodvision.images import open_image
from tests.conftest import draw_pattern


def photo(size: tuple[int, int] = (160, 200)) -> Image.Image:
    """Shape (H, W), with enough detail for a file of some kB."""
    return draw_pattern("dots", 3, size)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def kinds(content: bytes, name: str = "photo.jpg") -> list[str]:
    return [fault.kind for fault in find_faults(name, content, open_image(content, min_side=64))]


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(photo(), exif=exif)


def transparent_palette() -> bytes:
    return encoded(photo().quantize(16), "GIF", transparency=0)


@pytest.mark.parametrize("name", ["photo.jpg", "PHOTO.JPEG", "photo.jfif", "train[3]"])
def test_a_good_photograph_has_no_fault(name: str) -> None:
    assert kinds(encoded(photo()), name) == []
    assert kinds(encoded(photo(), progressive=True, optimize=True), name) == []


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (encoded(photo(), "PNG"), "photo.jpg", "wrong extension"),
        (encoded(photo()), "photo.webp", "wrong extension"),
        (encoded(photo((31, 60))), "a.jpg", "tiny"),
        (encoded(photo((40, 160))), "a.jpg", "extreme shape"),
        (rotated(6), "a.jpg", "EXIF-rotated"),
        (rotated(2), "a.jpg", "EXIF-rotated"),
        (encoded(photo().convert("RGBA"), "PNG"), "a.png", "alpha"),
        (transparent_palette(), "a.gif", "alpha"),
        (encoded(photo().convert("CMYK")), "a.jpg", "CMYK"),
        (encoded(photo().convert("L")), "a.jpg", "grey"),
        (encoded(photo().convert("L").convert("RGB")), "a.jpg", "grey"),
        (encoded(photo().convert("I;16"), "PNG"), "a.png", "grey"),
    ],
)
def test_each_kind(content: bytes, name: str, kind: str) -> None:
    assert kinds(content, name) == [kind]


def test_a_huge_image_is_named_from_its_header() -> None:
    content = encoded(Image.new("RGB", (6001, 4000), "red"))
    (fault,) = find_faults("a.jpg", content, photo())
    assert (fault.kind, fault.severity) == ("huge", "note")
    assert "6001 × 4000 px, 24 megapixels" in fault.detail


def test_upright_orientations_are_no_fault() -> None:
    assert kinds(rotated(1)) == []
    assert kinds(rotated(0)) == []


def test_damage_that_pillow_decodes_without_a_word() -> None:
    jpeg, png = encoded(photo()), bytearray(encoded(photo(), "PNG"))
    half = len(jpeg) // 2
    png[png.rindex(b"IEND") - 5] ^= 0xFF  # a checksum
    for content, name in [
        (jpeg[:-2] + bytes(100), "a.jpg"),
        (jpeg[:half] + b"\xff\xd9", "a.jpg"),
        (bytes(png), "a.png"),
    ]:
        assert kinds(content, name) == ["damaged"]


def test_the_video_of_a_motion_photo_is_no_damage_and_the_end_of_a_preview_is_no_end() -> None:
    video = b"\0\0\0\x18ftypmp42" + 3 * b"\xff\xda\0\0"  # looks like the start of more pixels
    assert kinds(encoded(photo()) + video) == []
    assert kinds(encoded(photo(), progressive=True) + video) == []
    preview = b"Exif\0\0" + encoded(photo((64, 64)))
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = encoded(photo())
    for content in (whole[:2] + segment + whole[2:], whole[:2] + b"\xff\xff" + segment + whole[2:]):
        assert kinds(content) == []
        assert kinds(content[:-2] + bytes(100)) == ["damaged"]


def test_grey_padding_is_no_damage() -> None:
    padded = Image.new("RGB", (200, 240), (128, 128, 128))
    padded.paste(photo(), (0, 40))
    assert kinds(encoded(padded, "PNG"), "a.png") == []
    assert kinds(encoded(padded)) == []
    assert kinds(encoded(Image.new("RGB", (90, 90), (128, 128, 128)))) == ["grey"]


def test_images_with_a_suffix_of_no_image() -> None:
    (fault,) = find_unrecognised("a.txt", encoded(photo()))
    assert (fault.kind, fault.detail) == ("wrong extension", "is JPEG, and is left out")
    assert find_unrecognised("a.txt", b"only text") == []
