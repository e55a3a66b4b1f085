from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F
from transformers import ViTImageProcessor

from foodvision.images import ImageSpec
from foodvision.images.transforms import center_crop, finish, open_pixels, prepare, resize, view
from tests.images.memory import memory_of

MODES = ("crop", "squash", "pad")
# Differences to the target of 0, 1, 3, 7 and 11: where torchvision's own centre crop differs.
SIZES = [(32, 32), (33, 47), (47, 36), (100, 39), (64, 43), (41, 75), (7, 300), (200, 3)]


def random_image(height: int, width: int) -> torch.Tensor:
    random = np.random.default_rng([height, width])
    return torch.from_numpy(random.integers(0, 256, (3, height, width), np.uint8))


def black_and_white(height: int, width: int) -> torch.Tensor:
    return (random_image(height, width) > 127) * torch.tensor(255, dtype=torch.uint8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [32, (24, 40)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_equals_transformers_processor(
    mode: str, size: int | tuple[int, int], interpolation: str
) -> None:
    spec = ImageSpec(size, mode, interpolation=interpolation, mean=(0.4, 0.5, 0.6), std=(0.2,) * 3)
    processor = ViTImageProcessor(**spec.to_preprocessor_config())
    for height, width in SIZES:
        if mode == "pad" and max(height, width) > 24 * min(height, width):
            continue  # transformers resizes these to nothing and fails
        image = random_image(height, width)
        expected = processor(Image.fromarray(image.permute(1, 2, 0).numpy()), return_tensors="pt")
        target = spec.resized_size(height, width)
        thin = mode == "crop" and target[0] * target[1] > 16 * spec.height * spec.width
        two_grey_levels = 2.002 / 255 / 0.2 if thin else 0
        torch.testing.assert_close(
            prepare(image, spec), expected["pixel_values"][0], rtol=0, atol=two_grey_levels
        )


def test_extreme_shapes_survive_padding() -> None:
    assert prepare(random_image(1, 500), ImageSpec(32, "pad")).shape == (3, 32, 32)


def test_padding_is_zero_after_normalisation_and_right_and_below() -> None:
    prepared = prepare(torch.full((3, 20, 40), 200, dtype=torch.uint8), ImageSpec(32, "pad"))
    assert (prepared[:, :16] > 0.5).all()
    assert (prepared[:, 16:] == 0).all()


def test_resize_size_is_the_shorter_side_before_the_crop() -> None:
    spec = ImageSpec(16, "crop", resize_size=20)
    assert spec.resized_size(40, 80) == (20, 40)
    assert prepare(random_image(40, 80), spec).shape == (3, 16, 16)


def test_finishing_a_batch_equals_finishing_each_image() -> None:
    spec = ImageSpec((24, 40), "pad")
    batch = torch.stack([random_image(20, 40), random_image(20, 40)])
    assert finish(batch, spec).equal(torch.stack([finish(one, spec) for one in batch]))


THIN = [(700, 3), (3, 700), (1, 5000), (2000, 40), (33, 900), (1100, 64)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "spec", [ImageSpec(32), ImageSpec((96, 16)), ImageSpec((24, 40), "crop", 56)], ids=str
)
def test_cropping_a_thin_image_equals_resizing_all_of_it(
    spec: ImageSpec, interpolation: str
) -> None:
    """Within two grey levels: Pillow and torchvision round their filter weights differently."""
    spec = replace(spec, interpolation=interpolation)
    for height, width in THIN:
        pixels, size = black_and_white(height, width), spec.resized_size(height, width)
        assert size[0] * size[1] > 16 * spec.height * spec.width
        expected = center_crop(resize(pixels, *size, spec), spec.height, spec.width)
        torch.testing.assert_close(view(pixels, spec), expected, rtol=0, atol=2)


def test_other_images_are_resized_whole_bit_for_bit() -> None:
    spec = ImageSpec(32)
    for size in [(32 * 16, 32), (7, 112), (90, 60)]:
        pixels = random_image(*size)
        resized = F.resize(pixels, list(spec.resized_size(*size)), antialias=True)
        assert view(pixels, spec).equal(center_crop(resized, 32, 32))


@pytest.mark.parametrize("size", [(50_000, 1), (1, 50_000), (9000, 5), (1040, 3)])
@pytest.mark.parametrize(("interpolation", "atol"), [("bilinear", 1), ("bicubic", 20)])
def test_squashing_a_thin_image_equals_resizing_it_in_one_pass(
    size: tuple[int, int], interpolation: str, atol: int
) -> None:
    """Bicubic overshoots, and which pass comes first decides where that is clipped."""
    spec, pixels = ImageSpec(64, "squash", interpolation=interpolation), black_and_white(*size)
    mode = InterpolationMode(interpolation)
    expected = F.resize(pixels, [64, 64], interpolation=mode, antialias=True)
    torch.testing.assert_close(view(pixels, spec), expected, rtol=0, atol=atol)


def test_extreme_shapes_take_little_memory() -> None:
    setup = """
import torch
from foodvision.images import ImageSpec
from foodvision.images.augment import TrainingTransform
from foodvision.images.transforms import prepare
prepare(torch.zeros(3, 9, 9, dtype=torch.uint8), ImageSpec(64))
"""
    code = """
for mode in ("crop", "squash", "pad"):
    spec = ImageSpec(64, mode)
    for shape in ((20_000, 1), (1, 20_000), (2_000_000, 1), (1, 2_000_000)):
        pixels = torch.zeros(3, *shape, dtype=torch.uint8)
        prepare(pixels, spec)
        TrainingTransform(spec)(pixels)
"""
    assert memory_of(setup, code) < 100_000_000


def stripes(height: int, width: int) -> bytes:
    """A JPEG of upright stripes with soft edges: moved by a pixel of 64, it looks different."""
    row = 128 + 100 * np.sin(np.linspace(0, 12 * np.pi, width))
    image = Image.fromarray(np.tile(row, (height, 1)).astype(np.uint8)).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("height", "width", "opened"),
    [
        (1024, 1536, (128, 192)),
        (1000, 1545, (250, 387)),  # 95 wide; 96 if 1/8 of it were rounded up to 125 × 194
        (1001, 1519, (501, 760)),
        (1001, 1518, (1001, 1518)),  # no smaller scale keeps the width
        (248, 372, (124, 186)),
        (246, 372, (246, 372)),  # half is less than twice 62
    ],
)
def test_reduced_decode_shows_the_same_part_of_the_image(
    height: int, width: int, opened: tuple[int, int]
) -> None:
    spec = ImageSpec(62, reduced_decode=True)
    content = stripes(height, width)
    pixels = open_pixels(content, spec)
    full = open_pixels(content, replace(spec, reduced_decode=False))
    assert full.shape == (3, height, width)
    assert pixels.shape == (3, *opened)
    assert (view(pixels, spec).int() - view(full, spec).int()).abs().max() <= 8
