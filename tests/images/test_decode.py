from __future__ import annotations

import io
import os
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from foodvision.errors import ImageError
from foodvision.images import decode, memory, open_image, source
from tests.files.web import (
    Fault,
    Web,
    closed_port,
    endless,
    hang_up_after,
    redirect,
    silent,
    slowly,
    status,
)
from tests.images.memory import memory_of


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photo() -> Image.Image:
    """Every corner differs, so that no two orientations look alike."""
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[:10, :20], pixels[-10:, -20:], pixels[:10, -20:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    return Image.fromarray(pixels)


def difference(a: Image.Image, b: Image.Image) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def test_all_eight_orientations_become_upright(photo: Image.Image) -> None:
    stored = {
        1: photo,
        2: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: photo.transpose(Image.Transpose.ROTATE_180),
        4: photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: photo.transpose(Image.Transpose.TRANSPOSE),
        6: photo.transpose(Image.Transpose.ROTATE_90),
        7: photo.transpose(Image.Transpose.TRANSVERSE),
        8: photo.transpose(Image.Transpose.ROTATE_270),
    }
    for orientation, image in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        opened = open_image(encoded(image, "PNG", exif=exif.tobytes()))
        assert difference(opened, photo) == 0, orientation


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_ignored(photo: Image.Image) -> None:
    content = encoded(photo, "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\xff")
    assert open_image(content).size == photo.size


@pytest.mark.parametrize(
    "kind", ["path", "string", "bytes", "bytearray", "memoryview", "file", "PIL", "array", "tensor"]
)
def test_every_kind_of_source_gives_the_same(kind: str, photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(encoded(photo))
    source = {
        "path": path,
        "string": str(path),
        "bytes": path.read_bytes(),
        "file": io.BytesIO(path.read_bytes()),
        "bytearray": bytearray(path.read_bytes()),
        "memoryview": memoryview(path.read_bytes()),
        "PIL": photo,
        "array": np.asarray(photo),
        "tensor": torch.from_numpy(np.array(photo)).permute(2, 0, 1),
    }[kind]
    assert difference(open_image(source), photo) == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_composited_on_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (200, 200, 200, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 4))
    image.putpixel((1, 1), (0, 0, 0, 128))
    if mode == "P":  # palette colours are opaque or fully transparent
        image.putpixel((1, 1), (0, 0, 0, 255))
    opened = np.asarray(open_image(encoded(image.convert(mode))))
    assert (opened[:, 2:] == 255).all()
    assert (opened[:, 0] == 0).all()
    if mode != "P":
        assert opened[1, 1, 0] in (127, 128)


def test_transparent_colour_key_of_rgb_png() -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (90, 90, 90))
    opened = open_image(encoded(image, transparency=(10, 20, 30)))
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((1, 0)) == (90, 90, 90)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    opened = open_image(encoded(Image.fromarray(values)))
    assert np.asarray(opened)[0, :, 0].tolist() == [0, 100, 255]


def test_float_pixels_are_refused_with_a_reason() -> None:
    image = Image.fromarray(np.full((2, 2), 0.5, np.float32))
    for wide in (image, Image.fromarray(np.full((2, 2), 1 << 20, np.int32))):
        with pytest.raises(ImageError, match="32-bit numbers of no known range") as caught:
            open_image(encoded(wide, "TIFF"))
        assert "damaged" not in str(caught.value)


def test_grey_arrays() -> None:
    values = np.array([[0, 100, 255]], np.uint8)
    for array in (values, torch.from_numpy(values)[None]):
        assert np.asarray(open_image(array))[0, :, 1].tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        torch.zeros(4, 4, 3, dtype=torch.uint8),
        torch.zeros(3, 4, 4),
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
    ],
)
def test_other_arrays_are_refused_with_the_shape_that_is_expected(array: object) -> None:
    with pytest.raises(ImageError, match=r"<array>: an array of an image is uint8 of shape \("):
        open_image(array)


def test_other_objects_are_refused() -> None:
    with pytest.raises(ImageError, match="is of type dict, not a path"):
        open_image({})


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    opened = open_image(encoded(Image.new("RGB", (9, 9), (255, 255, 255)).convert(mode), kind))
    assert opened.mode == "RGB"
    assert difference(opened, Image.new("RGB", (9, 9), (255, 255, 255))) <= 2


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (5, 5), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_image(content).getpixel((2, 2)) == (254, 0, 0) or open_image(content).getpixel(
        (2, 2)
    ) == (255, 0, 0)


def swapped_profile() -> bytes:
    """sRGB with the red and green primaries swapped, so that its effect is obvious."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack(">I", content[128:132])
    entries = {bytes(content[132 + 12 * i : 136 + 12 * i]): 136 + 12 * i for i in range(count)}
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    content[red : red + 8], content[green : green + 8] = (
        content[green : green + 8],
        content[red : red + 8],
    )
    return bytes(content).replace(b"s\x00R\x00G\x00B", b"x\x00R\x00G\x00B")


@pytest.mark.parametrize("alpha", [False, True])
def test_icc_profile_is_converted_to_srgb(alpha: bool) -> None:
    image = Image.new("RGBA" if alpha else "RGB", (4, 4), (255, 0, 0))
    opened = open_image(encoded(image, icc_profile=swapped_profile()))
    red, green, blue = opened.getpixel((1, 1))
    assert green > 250
    assert red < 5
    assert blue < 5


def test_srgb_profile_and_a_damaged_one_change_nothing(photo: Image.Image) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"not a profile", srgb[:200]):
        assert difference(open_image(encoded(photo, icc_profile=profile)), photo) == 0


def test_reduced_decode_keeps_the_shorter_side_above_the_minimum() -> None:
    content = encoded(Image.new("RGB", (800, 600)), "JPEG")
    sizes = {side: open_image(content, min_side=side).size for side in (1, 75, 76, 300, 301)}
    for side, size in sizes.items():
        assert min(size) >= side
    assert sizes == {1: (100, 75), 75: (100, 75), 76: (200, 150), 300: (400, 300), 301: (800, 600)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"I am a text.", "not an image"),
        (encoded(Image.new("RGB", (200, 200), "red"), "JPEG")[:600], "truncated or damaged"),
        (encoded(Image.effect_noise((99, 99), 50))[:3000], "truncated or damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_bad_files_name_source_and_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        open_image(path)
    assert caught.value.source == str(path)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        open_image(tmp_path / "no.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        open_image(tmp_path)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb() -> bytes:
    """A PNG that claims to have 10,000 megapixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ImageError, match="limit of 178,956,970 pixels; make it smaller"):
        open_image(bomb())


def test_other_limits_of_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # A TIFF of 9 × 9 pixels in one tile of 20,000 × 20,000.
    tags = {256: 9, 257: 9, 258: 8, 259: 8, 262: 1, 277: 1, 322: 20_000, 323: 20_000, 324: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    with pytest.raises(ImageError, match="9×9 pixels would take 6,400 MB of memory as TIFF"):
        open_image(struct.pack("<4sIH", b"II*\0", 8, len(tags)) + entries + bytes(100))
    monkeypatch.setattr(memory, "MAX_BYTES", 100 * 100 * 9)
    with pytest.raises(ImageError, match="1×9000 pixels would take"):  # pointers to its rows
        open_image(encoded(Image.new("L", (1, 9000))))
    assert open_image(encoded(Image.new("L", (99, 99)))).size == (99, 99)
    with pytest.raises(ImageError, match="as WEBP"):
        open_image(encoded(Image.new("L", (99, 99)), "WEBP"))
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", 50)
    with pytest.raises(ImageError, match="is larger than 0 MB"):
        open_image(encoded(Image.effect_noise((99, 99), 50)))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_would_take_too_much_memory_is_decoded_smaller(
    progressive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(Image.new("RGB", (800, 600), "red"), "JPEG", progressive=progressive)
    assert open_image(content).size == (800, 600)
    monkeypatch.setattr(memory, "MAX_BYTES", 800 * 600 * 4)  # half of what it takes
    assert open_image(content).size == (400, 300)
    assert open_image(content, min_side=100).size == (200, 150)
    monkeypatch.setattr(memory, "MAX_BYTES", 800 * 600 * 3)  # the coefficients alone
    if progressive:
        with pytest.raises(ImageError, match="800×600 pixels would take"):
            open_image(content)
    else:
        assert open_image(content).size == (400, 300)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    content = encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)
    scans = content[content.index(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match="scans; at most 100 are decoded"):
        open_image(content[:-2] + 60 * scans + b"\xff\xd9")


def test_files_of_very_many_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_READS", 1000)
    png = encoded(Image.new("L", (9, 9)))
    assert open_image(png).size == (9, 9)
    for content in (
        b"\xff\xd8\xff\xe1\x00\x02" + bytes(2000),
        png[:33] + 2000 * chunk(b"prVt", b"") + png[33:],
        b"P6 #" + bytes(2000),
    ):
        with pytest.raises(ImageError, match="of too many parts"):
            open_image(content)


def test_threads_share_the_memory(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = memory.Budget(100)
    monkeypatch.setattr(decode, "_budget", budget)
    content, inside, most = encoded(photo), [], []
    lock = threading.Lock()

    def watched() -> None:
        with decode.opening(content), lock:
            inside.append(1)
            most.append(len(inside))
        with pytest.raises(ImageError, match="truncated"):
            open_image(content[:-30])
        with decode.opening(content):
            inside.pop()

    monkeypatch.setattr(decode, "fit", lambda *_: 1000)  # more than there is: alone
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(watched) for _ in range(16)]:
            future.result(timeout=60)
    assert budget._left == 100
    with budget.taken(60), ThreadPoolExecutor(1) as pool:
        with budget.taken(40):
            waiting = pool.submit(lambda: budget.taken(10).__enter__())
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.05)
        waiting.result(timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_the_whole_budget(photo: Image.Image) -> None:
    content = encoded(photo)
    with decode._budget.taken(memory.BUDGET):
        process = get_context("fork").Process(target=open_image, args=(content,))
        process.start()
        process.join(60)
    assert process.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("fifo.jpg", "zero.jpg"):
        with pytest.raises(ImageError, match=r"cannot be read \(not a regular file"):
            open_image(tmp_path / name)


def test_too_little_memory_is_an_image_error(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(ImageError, match="needs more memory than is free"):
        open_image(encoded(photo))


def test_conversions_take_little_memory(tmp_path: Path) -> None:
    """16 MP with 16 bits, with transparency, and on its side."""
    grey = Image.fromarray(np.zeros((4000, 4000), np.uint16))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (tmp_path / "16.png").write_bytes(encoded(grey, compress_level=1))
    clear = Image.new("RGBA", (4000, 4000))
    profile = swapped_profile()
    (tmp_path / "alpha.png").write_bytes(encoded(clear, compress_level=1, icc_profile=profile))
    (tmp_path / "side.jpg").write_bytes(encoded(clear.convert("RGB"), "JPEG", exif=exif.tobytes()))
    setup = "from PIL import Image; from foodvision.images import open_image; Image.init()"
    code = "for path in Path(sys.argv[1]).iterdir(): open_image(path)"
    assert memory_of(setup, code, str(tmp_path)) / 16e6 < 9, "bytes a pixel"


def test_bands_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 4), np.uint8)
    images = [Image.fromarray(pixels), Image.fromarray(pixels[:, :, :3]).convert("P")]
    images.append(Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257))
    whole = [open_image(encoded(image, icc_profile=swapped_profile())) for image in images]
    monkeypatch.setattr(decode, "_BAND", 300)
    for image, expected in zip(images, whole, strict=True):
        opened = open_image(encoded(image, icc_profile=swapped_profile()))
        assert difference(opened, expected) == 0


def test_heic_opens_with_the_extra_and_names_it_without(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(photo).save(buffer, quality=100)
    assert open_image(buffer.getvalue()).size == photo.size
    monkeypatch.setattr(decode, "find_spec", lambda name: None)
    with pytest.raises(ImageError, match=r"pip install 'foodvision\[data\]'"):
        open_image(buffer.getvalue())


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Web(encoded(Image.new("RGB", (7, 5), "red")), "photo.png")
    yield server
    server.stop()


def test_url_is_fetched(web: Web) -> None:
    assert open_image(web.url).size == (7, 5)
    web.faults = [redirect(f"{web.url}?elsewhere")]
    assert open_image(web.url).size == (7, 5)
    assert open_image(f"{web.url}?my photo/é&x=%20").size == (7, 5)


@pytest.mark.parametrize("url", ["http://[x", "http://localhost:port/a b.png", "http://a..b/x.png"])
def test_an_invalid_address_is_called_so(url: str) -> None:
    with pytest.raises(ImageError, match="is not a valid address"):
        open_image(url)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(404), "the server answered 404 Not Found"),
        (hang_up_after(20), "the connection broke off"),
        (endless, "is larger than 2 MB"),
        (silent, "the server was silent for 0.2 s"),
        (slowly, "took longer than 0.6 s"),
        (redirect("file:///etc/passwd"), "redirects to an address"),
    ],
)
def test_url_is_fetched_within_bounds(
    fault: Fault, reason: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == slowly:
        web.content = bytes(1_000_000)
    web.faults = [fault]
    monkeypatch.setattr(source, "MAX_DOWNLOAD_BYTES", 2_000_000)
    monkeypatch.setattr(source, "MAX_DOWNLOAD_SECONDS", 0.6)
    with pytest.raises(ImageError, match=reason) as caught:
        open_image(web.url)
    assert caught.value.source == web.url


def test_an_address_and_a_row_of_parquet_are_opened(photo: Image.Image, tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/photo.png", encoded(photo))
    pyarrow.parquet.write_table(pa.table({"image": [encoded(photo)]}), tmp_path / "a.parquet")
    for address in ("memory://photo.png", f"{tmp_path}/a.parquet#0"):
        assert difference(open_image(address), photo) == 0
    for address in ("memory://nosuch.png", f"{tmp_path}/a.parquet#1"):
        with pytest.raises(ImageError, match=f"^{re.escape(address)}: no such (file|row)"):
            open_image(address)


def test_unreachable_url() -> None:
    with pytest.raises(ImageError, match=r"cannot be reached \(Connection refused\)"):
        open_image(f"http://127.0.0.1:{closed_port()}/x.png")


def test_suffixes_match_the_supported_formats() -> None:
    Image.init()
    of_pillow = {suffix for suffix, kind in Image.EXTENSION.items() if kind in decode._FORMATS}
    assert of_pillow - {".pfm"} <= decode.SUFFIXES  # float images, which are refused
    others = decode.SUFFIXES - of_pillow
    assert others == {".heic", ".heif", ".hif", ".jif", ".jfi"}
