"""Reads timm's config.json: which Vision Transformer it is and how its images are prepared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from foodvision.errors import ModelError
from foodvision.images import ImageSpec

_PLAIN = re.compile(r"vit_(tiny|small|base|large|huge)_patch\d+_\d+")
# These do not change evaluation, or can be seen in the tensors or in global_pool.
_ARGUMENTS = {"img_size", "in_chans", "num_classes", "global_pool", "drop_rate", "drop_path_rate"}


def check_architecture(config: Mapping[str, Any]) -> None:
    """Check that it is the paper's network.

    timm's other ``vit_*`` can differ in what no tensor shows: activation, heads or pooling.

    Raises:
        ModelError: naming what differs from the paper.

    """
    architecture = config["architecture"]
    if not _PLAIN.fullmatch(architecture):
        raise ModelError(
            f"config.json: {architecture} is not the paper's network, which timm names like "
            "vit_base_patch16_224 or vit_large_patch32_384"
        )
    if (pooling := config.get("global_pool", "token")) != "token":
        raise ModelError(f"config.json: global_pool {pooling!r} is not supported, only 'token'")
    if unknown := config.get("model_args", {}).keys() - _ARGUMENTS:
        raise ModelError(f"config.json: model_args {min(unknown)} is not supported")


def image_spec(config: Mapping[str, Any]) -> ImageSpec:
    """The evaluation transform that config.json publishes as ``pretrained_cfg``.

    Raises:
        ModelError: naming a value that has no counterpart here.

    """
    try:
        published = config["pretrained_cfg"]
        _, height, width = published["input_size"]
        crop_mode, crop_pct = published.get("crop_mode", "center"), published["crop_pct"]
        if height != width or crop_mode != "center":
            raise ModelError(
                f"config.json: input_size {height} × {width} with crop_mode {crop_mode!r} is not "
                "supported, only squares with 'center'"
            )
        return ImageSpec(
            height,
            "crop",
            int(height / crop_pct),
            published["interpolation"],
            tuple(published["mean"]),
            tuple(published["std"]),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"config.json: pretrained_cfg is damaged ({error!r})") from error


def usual_spec(size: int) -> ImageSpec:
    """What timm's Vision Transformers use unless their weights say otherwise."""
    return ImageSpec(size, "crop", int(size / 0.9), "bicubic")


def class_names(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """``label_names``, which config.json has unless the classes are ImageNet's."""
    names = config.get("label_names")
    return tuple(map(str, names)) if isinstance(names, list) else None
