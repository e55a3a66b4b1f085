"""Translates between a `ViTConfig` and transformers' config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from foodvision.errors import ModelError
from foodvision.models.config import ViTConfig

_T = TypeVar("_T")


def to_transformers_config(config: ViTConfig) -> dict[str, Any]:
    """The sizes under the names of transformers' `ViTConfig`."""
    size = config.image_size
    return {
        "architectures": ["ViTForImageClassification"],
        "model_type": "vit",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_size,
        "hidden_act": "gelu",
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "layer_norm_eps": config.layer_norm_eps,
        "image_size": size if isinstance(size, int) else list(size),
        "patch_size": config.patch_size,
        "num_channels": config.num_channels,
        "qkv_bias": True,
    }


def from_transformers_config(config: Mapping[str, Any], num_classes: int) -> ViTConfig:
    """Read the sizes; a missing one has transformers' default.

    Raises:
        ModelError: naming a value that is damaged or not supported.

    """
    if (activation := config.get("hidden_act", "gelu")) != "gelu":
        raise ModelError(f"config.json: hidden_act {activation!r} is not supported, only 'gelu'")
    size, patch_size = config.get("image_size", 224), config.get("patch_size", 16)
    if isinstance(patch_size, list):
        if len(set(patch_size)) != 1:
            raise ModelError(f"config.json: patch_size {patch_size} is not supported, only squares")
        patch_size = patch_size[0]
    try:
        return ViTConfig(
            image_size=tuple(size) if isinstance(size, list) else size,
            patch_size=patch_size,
            num_layers=config.get("num_hidden_layers", 12),
            hidden_size=config.get("hidden_size", 768),
            mlp_size=config.get("intermediate_size", 3072),
            num_heads=config.get("num_attention_heads", 12),
            num_classes=num_classes,
            num_channels=config.get("num_channels", 3),
            dropout=config.get("hidden_dropout_prob", 0.0),
            attention_dropout=config.get("attention_probs_dropout_prob", 0.0),
            layer_norm_eps=config.get("layer_norm_eps", 1e-12),
        )
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ModelError(f"config.json: {error}") from error


def full_names(tensors: Mapping[str, _T]) -> dict[str, _T]:
    """The names in a `ViTForImageClassification`; a `ViTModel` saved alone lacks their prefix."""
    alone = "embeddings.patch_embeddings.projection.weight" in tensors
    return {f"vit.{name}" if alone else name: tensor for name, tensor in tensors.items()}
