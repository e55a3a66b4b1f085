"""Reads timm's config.json: which network it is and how its images are prepared."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.models.library_config import LibraryConfig

_PAPERS = re.compile(
    r"vit_(?:(?:tiny|small|base|large|huge)_patch\d+_\d+|(?:small|base|large)_patch14_dinov2)"
)
# These do not change evaluation, or are seen in pretrained_cfg, in the tensors or in num_classes.
_IGNORED = {
    "drop_path_rate",
    "drop_rate",
    "dynamic_img_size",
    "img_size",
    "in_chans",
    "num_classes",
}


def library_config(config: Mapping[str, Any], spec: ImageSpec) -> LibraryConfig | None:
    """The network of timm's own; None if it is the paper's, which is read into a `ViT`.

    timm's other ``vit_*`` can differ in what no tensor shows: activation, heads or pooling.

    Raises:
        ModelError: naming a value that is damaged or not supported.

    """
    try:
        arguments = {k: v for k, v in config.get("model_args", {}).items() if k not in _IGNORED}
        if _PAPERS.fullmatch(config["architecture"]):
            arguments = {"global_pool": config.get("global_pool", "token")} | arguments
            if arguments == {"global_pool": "token"}:
                return None
        num_classes = config.get("num_classes", config["pretrained_cfg"].get("num_classes"))
        return LibraryConfig(
            config["architecture"], spec.size, num_classes or 0, "timm", model_args=arguments
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"config.json: {error}") from error


def image_spec(config: Mapping[str, Any]) -> ImageSpec:
    """The evaluation transform that config.json publishes as ``pretrained_cfg``.

    Raises:
        ModelError: naming a value that has no counterpart here.

    """
    try:
        published = config["pretrained_cfg"]
        channels, height, width = published["input_size"]
        crop_mode, crop_pct = published.get("crop_mode", "center"), published["crop_pct"]
        size = height if height == width else (height, width)
        squash = crop_mode == "squash" and crop_pct == 1
        if channels != 3 or not (squash or (crop_mode == "center" and height == width)):
            raise ModelError(
                f"config.json: input_size {channels} × {height} × {width} with crop_mode "
                f"{crop_mode!r} and crop_pct {crop_pct} is not supported, only squares of 3 "
                "channels with 'center', or 'squash' of the whole image"
            )
        return ImageSpec(
            size,
            "squash" if squash else "crop",
            None if squash else math.floor(height / crop_pct),
            published["interpolation"],
            tuple(published["mean"]),
            tuple(published["std"]),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ModelError(f"config.json: pretrained_cfg is damaged ({error!r})") from error


def usual_spec(size: int) -> ImageSpec:
    """What timm's Vision Transformers use unless their weights say otherwise."""
    return ImageSpec(size, "crop", int(size / 0.9), "bicubic")


def class_names(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """``label_names``, which config.json has unless the classes are ImageNet's."""
    names = config.get("label_names")
    return tuple(map(str, names)) if isinstance(names, list) else None
