from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from foodvision.data import Duplicates, candidates, find_duplicates
from foodvision.data.sketch import CHROMA_SIDE, LENGTH, SIDE, chroma, luma, mirrored, sketch
from foodvision.drawings.draw import draw_image
from tests.conftest import CLASSES, draw_pattern
from tests.data.photographs import cropped, jpeg, photograph

Change = Callable[[Image.Image], Image.Image]
COPIES: dict[str, tuple[Change, int]] = {
    "another quality": (lambda image: image, 50),
    "resized": (lambda image: image.resize((71, 66)), 90),
    "a crop of 90 %": (lambda image: cropped(image, 0.0, 0.95, 0.05, 1.0), 95),
    "one edge cut": (lambda image: cropped(image, 0.1, 1.0, 0.0, 1.0), 95),
    "cropped, resized and re-encoded": (
        lambda image: cropped(image, 0.02, 0.97, 0.03, 0.98).resize((80, 60)),
        60,
    ),
    "mirrored and cropped": (lambda image: ImageOps.mirror(cropped(image, 0, 0.96, 0, 0.96)), 85),
    "brightened": (lambda image: ImageEnhance.Brightness(image).enhance(1.12), 85),
}


def find(images: list[Image.Image]) -> Duplicates:
    sketches = np.stack([sketch(image.convert("RGB")) for image in images])
    return find_duplicates([hashlib.sha256(i.tobytes()).hexdigest() for i in images], sketches)


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    return [photograph(seed) for seed in range(120)]


@pytest.mark.parametrize("kind", COPIES)
def test_near_duplicates_are_found_and_no_others(kind: str, photographs: list[Image.Image]) -> None:
    change, quality = COPIES[kind]
    copies = [Image.open(io.BytesIO(jpeg(change(image), quality))) for image in photographs[40:60]]
    found = find([*photographs, *copies])
    assert found.near.tolist() == [[40 + i, 120 + i] for i in range(20)]
    assert found.similarity.min() > 0.8
    assert not found.identical


def test_two_crops_of_one_photograph() -> None:
    wide = [photograph(seed) for seed in range(30)]
    found = find(
        [
            *(cropped(image, 0.0, 0.95, 0.0, 0.95) for image in wide),
            *(cropped(image, 0.05, 1.0, 0.04, 1.0) for image in wide),
        ]
    )
    assert found.near.tolist() == [[i, 30 + i] for i in range(30)]


def test_identical_images_are_one_for_the_comparison() -> None:
    image, other = photograph(0), photograph(1)
    copy = Image.open(io.BytesIO(jpeg(image, 70)))
    found = find([image, other, image, copy, image])
    assert found.identical == [[0, 2, 4]]
    assert found.near.tolist() == [[0, 3]]
    assert found.groups() == [[0, 2, 3, 4]]


def test_without_sketches_only_identical_images_are_found() -> None:
    assert find_duplicates(["a", "b", "a"], None).groups() == [[0, 2]]


def test_groups_are_connected_components() -> None:
    found = Duplicates(9, [[1, 5]], np.array([[0, 5], [3, 4], [4, 8]]), np.ones(3))
    assert found.groups() == [[0, 1, 5], [3, 4, 8]]
    assert Duplicates(3, [], np.zeros((0, 2), np.int64), np.zeros(0)).groups() == []


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_to_compare(n: int) -> None:
    assert find_duplicates(["a"] * n, np.zeros((n, LENGTH), np.uint8)).groups() == []


def test_images_without_structure_are_no_duplicates_of_each_other() -> None:
    random = np.random.default_rng(0)
    flat = [Image.new("RGB", (40, 40), tuple(random.integers(0, 256, 3))) for _ in range(20)]
    grain = [random.normal(128, 3, (64, 64, 3)).astype(np.uint8) for _ in range(20)]
    assert find([*flat, *map(Image.fromarray, grain)]).groups() == []


def test_drawings_that_look_alike_are_no_duplicates() -> None:
    drawn = [draw_image(label, seed) for label in ("pizza", "steak", "sushi") for seed in range(60)]
    patterns = [draw_pattern(label, seed) for label in CLASSES for seed in range(30)]
    assert find([*drawn, *patterns]).groups() == []


def test_another_colour_is_another_image() -> None:
    image = photograph(0)
    recoloured = Image.merge("RGB", [image.getchannel(channel) for channel in "BRG"])
    assert find([image, recoloured, photograph(1)]).groups() == []


def test_images_that_all_look_alike_have_few_candidates(
    monkeypatch: pytest.MonkeyPatch, photographs: list[Image.Image]
) -> None:
    """Not every pair of the frames of one video is aligned; they are one group all the same."""
    monkeypatch.setattr(candidates, "MAX_CANDIDATES", 5)
    frames = [Image.open(io.BytesIO(jpeg(photographs[0], 50 + i))) for i in range(40)]
    found = find(frames)
    assert len(found.near) <= 5 * 40
    assert found.groups() == [list(range(40))]


def test_blocks_make_no_difference(
    monkeypatch: pytest.MonkeyPatch, photographs: list[Image.Image]
) -> None:
    images = [*photographs[:25], *(cropped(image, 0, 0.96, 0, 0.96) for image in photographs[:25])]
    whole = find(images)
    monkeypatch.setattr(candidates, "_ROWS", 7)
    monkeypatch.setattr(candidates, "_COLUMNS", 9)
    blocks = find(images)
    assert blocks.near.tolist() == whole.near.tolist() == [[i, 25 + i] for i in range(25)]
    np.testing.assert_allclose(blocks.similarity, whole.similarity, atol=1e-5)


def test_a_sketch_is_the_image_made_small() -> None:
    image = photograph(3, (256, 256))
    (grey,), (colours,) = luma(sketch(image)[None]), chroma(sketch(image)[None])
    small = np.asarray(image.convert("YCbCr"), np.float32)
    blocks = small[..., 0].reshape(SIDE, 8, SIDE, 8).mean((1, 3))
    assert np.abs(grey - blocks).max() < 2
    blocks = small[..., 1:].reshape(CHROMA_SIDE, 32, CHROMA_SIDE, 32, 2).mean((1, 3))
    assert np.abs(np.moveaxis(colours, 0, 2) + 128 - blocks).max() < 2
    flipped = sketch(ImageOps.mirror(image))
    assert np.abs(mirrored(sketch(image)[None])[0].astype(int) - flipped).max() <= 1
