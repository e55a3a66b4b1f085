from __future__ import annotations

import pytest
import torch

from foodvision.images import ImageSpec
from foodvision.images.augment import TrainingTransform
from foodvision.images.transforms import finish, prepare
from tests.images.test_transforms import MODES, random_image


@pytest.mark.parametrize("mode", MODES)
def test_training_view_without_randomness_equals_the_evaluation_view(mode: str) -> None:
    """The whole square image without a flip: only resize and normalisation remain."""
    spec = ImageSpec(32, mode)
    image = torch.full((3, 50, 50), 80, dtype=torch.uint8)
    transform = TrainingTransform(spec, min_area=1.0, flip=0.0)
    torch.testing.assert_close(finish(transform(image), spec), prepare(image, spec))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", ["none", "randaugment", "trivialaugment"])
def test_training_views_have_the_input_shape_and_range(mode: str, policy: str) -> None:
    spec = ImageSpec((24, 40), mode)
    transform = TrainingTransform(spec, auto_augment=policy, erasing=1.0)
    views = [finish(transform(random_image(50, 70)), spec) for _ in range(8)]
    for view in views:
        assert view.shape == (3, 24, 40)
        assert view.dtype == torch.float32
        assert view.abs().max() <= 1.0
    assert not views[0].equal(views[1])


def test_magnitude_scales_randaugment() -> None:
    image, spec = random_image(32, 32), ImageSpec(32)
    still = TrainingTransform(spec, 1.0, 0.0, "randaugment", magnitude=0)
    wild = TrainingTransform(spec, 1.0, 0.0, "randaugment", magnitude=30)
    change = {
        transform: sum((transform(image).float() - image).abs().mean() for _ in range(30))
        for transform in (still, wild)
    }
    assert change[wild] > 2 * change[still]


def test_flip_has_the_given_probability() -> None:
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[:, :, :16] = 255
    always = TrainingTransform(ImageSpec(32), min_area=1.0, flip=1.0)
    assert always(image)[0, 16, 31] > always(image)[0, 16, 0]
