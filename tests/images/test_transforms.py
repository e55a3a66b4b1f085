from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessor

from foodvision.images import ImageSpec
from foodvision.images.transforms import finish, prepare

MODES = ("crop", "squash", "pad")
# Differences to the target of 0, 1, 3, 7 and 11: where torchvision's own centre crop departs.
SIZES = [(32, 32), (33, 47), (47, 36), (100, 39), (64, 43), (41, 75), (7, 300), (200, 3)]


def random_image(height: int, width: int) -> torch.Tensor:
    random = np.random.default_rng([height, width])
    return torch.from_numpy(random.integers(0, 256, (3, height, width), np.uint8))


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
        assert torch.equal(prepare(image, spec), expected["pixel_values"][0]), (height, width)


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


def test_a_batch_is_finished_as_each_of_its_images_is() -> None:
    spec = ImageSpec((24, 40), "pad")
    batch = torch.stack([random_image(20, 40), random_image(20, 40)])
    assert finish(batch, spec).equal(torch.stack([finish(view, spec) for view in batch]))
