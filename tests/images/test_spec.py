from __future__ import annotations

from dataclasses import replace

import pytest

from foodvision.images import ImageSpec

MODES = ("crop", "squash", "pad")


def test_another_size_crops_the_same_share() -> None:
    assert ImageSpec(224, resize_size=256).at(448) == ImageSpec(448, resize_size=512)
    assert ImageSpec(224, resize_size=256).at((112, 448)) == ImageSpec((112, 448), resize_size=512)
    assert ImageSpec(224, "squash", mean=(0.4,) * 3).at(64) == ImageSpec(
        64, "squash", mean=(0.4,) * 3
    )


@pytest.mark.parametrize("mode", MODES)
def test_spec_survives_both_files(mode: str) -> None:
    spec = ImageSpec((24, 40), mode, interpolation="bicubic", mean=(0.1, 0.2, 0.3))
    assert ImageSpec.from_dict(spec.to_dict()) == spec
    read = ImageSpec.from_preprocessor_config(spec.to_preprocessor_config())
    assert read == replace(spec, resize_size=read.resize_size)
    assert read.resized_size(50, 70) == spec.resized_size(50, 70)


@pytest.mark.parametrize(
    "wrong",
    [{"do_resize": False}, {"resample": 0}, {"rescale_factor": 1.0}, {"size": {"longest_edge": 5}}],
)
def test_an_unsupported_processor_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageSpec.from_preprocessor_config(ImageSpec(32).to_preprocessor_config() | wrong)


@pytest.mark.parametrize(
    "wrong", [{"resize_mode": "cut"}, {"size": 0}, {"resize_size": 8}, {"interpolation": "area"}]
)
def test_invalid_specs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageSpec(**({"size": 32} | wrong))
