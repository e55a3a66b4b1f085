"""Translates between a `ViTConfig` and transformers' config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from foodvision.errors import ModelError
from foodvision.models.config import ViTConfig

_T = TypeVar("_T")

_NAMES = {
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "mlp_size": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "layer_norm_eps": "layer_norm_eps",
    "image_size": "image_size",
    "patch_size": "patch_size",
    "num_channels": "num_channels",
}
"""transformers' names for our settings; the defaults are equal but for layer_norm_eps."""


def to_transformers_config(config: ViTConfig) -> dict[str, Any]:
    """The sizes under the names of transformers' `ViTConfig`."""
    size = config.image_size
    return {
        "architectures": ["ViTForImageClassification"],
        "model_type": "vit",
        "hidden_act": "gelu",
        "qkv_bias": True,
        **{name: getattr(config, own) for own, name in _NAMES.items()},
        "image_size": size if isinstance(size, int) else list(size),
    }


def from_transformers_config(config: Mapping[str, Any], num_classes: int) -> ViTConfig:
    """Read the sizes; a missing one has transformers' default.

    Raises:
        ModelError: naming a value that is damaged or not supported.

    """
    dinov2 = config.get("model_type") == "dinov2"
    if dinov2 and config.get("use_swiglu_ffn"):
        raise ModelError("config.json: use_swiglu_ffn, as in DINOv2 giant, is not supported")
    if (activation := config.get("hidden_act", "gelu")) != "gelu":
        raise ModelError(f"config.json: hidden_act {activation!r} is not supported, only 'gelu'")
    settings = {own: config[name] for own, name in _NAMES.items() if name in config}
    if isinstance(size := settings.get("image_size"), list):
        settings["image_size"] = tuple(size)
    if isinstance(patch_size := settings.get("patch_size"), list):
        if len(set(patch_size)) != 1:
            raise ModelError(f"config.json: patch_size {patch_size} is not supported, only squares")
        settings["patch_size"] = patch_size[0]
    defaults: dict[str, Any] = {"layer_norm_eps": 1e-12}
    try:
        if dinov2:
            width = settings.get("hidden_size", 768)
            defaults = {"patch_size": 14, "mlp_size": int(width * config.get("mlp_ratio", 4))}
        return ViTConfig(num_classes=num_classes, **(defaults | settings))
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ModelError(f"config.json: {error}") from error


def full_names(tensors: Mapping[str, _T]) -> dict[str, _T]:
    """The names in a `ViTForImageClassification`; a `ViTModel` saved alone lacks their prefix."""
    alone = "embeddings.patch_embeddings.projection.weight" in tensors
    return {f"vit.{name}" if alone else name: tensor for name, tensor in tensors.items()}
