from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessor

from foodvision.errors import ModelError
from foodvision.images import ImageSpec, TrainingTransform

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
        assert torch.equal(spec.prepare(image), expected["pixel_values"][0]), (height, width)


def test_extreme_shapes_survive_padding() -> None:
    assert ImageSpec(32, "pad").prepare(random_image(1, 500)).shape == (3, 32, 32)


def test_padding_is_zero_after_normalisation_and_right_and_below() -> None:
    prepared = ImageSpec(32, "pad").prepare(torch.full((3, 20, 40), 200, dtype=torch.uint8))
    assert (prepared[:, :16] > 0.5).all()
    assert (prepared[:, 16:] == 0).all()


def test_resize_size_is_the_shorter_side_before_the_crop() -> None:
    spec = ImageSpec(16, "crop", resize_size=20)
    assert spec.resized_size(40, 80) == (20, 40)
    assert spec.prepare(random_image(40, 80)).shape == (3, 16, 16)


def test_at_another_size_the_same_share_is_cut_away() -> None:
    assert ImageSpec(224, resize_size=256).at(448) == ImageSpec(448, resize_size=512)
    assert ImageSpec(224, resize_size=256).at((112, 448)) == ImageSpec((112, 448), resize_size=512)
    assert ImageSpec(224, "squash", mean=(0.4,) * 3).at(64) == ImageSpec(
        64, "squash", mean=(0.4,) * 3
    )


@pytest.mark.parametrize("mode", MODES)
def test_description_survives_both_files(mode: str) -> None:
    spec = ImageSpec((24, 40), mode, interpolation="bicubic", mean=(0.1, 0.2, 0.3))
    assert ImageSpec.from_dict(spec.to_dict()) == spec
    read = ImageSpec.from_preprocessor_config(spec.to_preprocessor_config())
    assert read.prepare(random_image(50, 70)).equal(spec.prepare(random_image(50, 70)))


@pytest.mark.parametrize(
    "wrong",
    [{"do_resize": False}, {"resample": 0}, {"rescale_factor": 1.0}, {"size": {"longest_edge": 5}}],
)
def test_a_foreign_processor_that_we_cannot_be_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=next(iter(wrong))):
        ImageSpec.from_preprocessor_config(ImageSpec(32).to_preprocessor_config() | wrong)


@pytest.mark.parametrize(
    "wrong", [{"resize_mode": "cut"}, {"size": 0}, {"resize_size": 8}, {"interpolation": "area"}]
)
def test_impossible_specs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageSpec(**({"size": 32} | wrong))


@pytest.mark.parametrize("mode", MODES)
def test_training_view_without_any_randomness_is_the_evaluation_view(mode: str) -> None:
    """Whole square image, no flip: what is left is the same resize and normalisation."""
    spec = ImageSpec(32, mode)
    image = torch.full((3, 50, 50), 80, dtype=torch.uint8)
    transform = TrainingTransform(spec, min_area=1.0, flip=0.0)
    torch.testing.assert_close(spec.finish(transform(image)), spec.prepare(image))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", ["none", "randaugment", "trivialaugment"])
def test_training_views_have_the_input_shape_and_range(mode: str, policy: str) -> None:
    spec = ImageSpec((24, 40), mode)
    transform = TrainingTransform(spec, auto_augment=policy, erasing=1.0)
    views = [spec.finish(transform(random_image(50, 70))) for _ in range(8)]
    for view in views:
        assert view.shape == (3, 24, 40)
        assert view.dtype == torch.float32
        assert view.abs().max() <= 1.0
    assert not views[0].equal(views[1])


def test_a_batch_is_finished_as_each_of_its_images_is() -> None:
    spec = ImageSpec((24, 40), "pad")
    batch = torch.stack([random_image(20, 40), random_image(20, 40)])
    assert spec.finish(batch).equal(torch.stack([spec.finish(view) for view in batch]))


def test_magnitude_is_that_of_randaugment() -> None:
    image, spec = random_image(32, 32), ImageSpec(32)
    still = TrainingTransform(spec, 1.0, 0.0, "randaugment", magnitude=0)
    wild = TrainingTransform(spec, 1.0, 0.0, "randaugment", magnitude=30)
    change = {
        transform: sum((transform(image).float() - image).abs().mean() for _ in range(30))
        for transform in (still, wild)
    }
    assert change[wild] > 2 * change[still]


def test_flip_happens_as_often_as_it_says() -> None:
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[:, :, :16] = 255
    always = TrainingTransform(ImageSpec(32), min_area=1.0, flip=1.0)
    assert always(image)[0, 16, 31] > always(image)[0, 16, 0]
