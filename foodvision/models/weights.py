"""A `ViT`'s weights and sizes in the words of Hugging Face transformers, both ways.

What we save is thereby a `ViTForImageClassification`, and what transformers saved is a `ViT`.
Names are those of its files (transformers 5.23, `save_pretrained`), not of its modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from foodvision.errors import ModelError
from foodvision.models.vit import ViTConfig

_QKV = "msa.U_qkv"
_MODULES = {
    "embedding.E": "vit.embeddings.patch_embeddings.projection",
    "norm": "vit.layernorm",
    "head": "classifier",
}
_BLOCK_MODULES = {
    "norm1": "layernorm_before",
    "msa.U_msa": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.0": "intermediate.dense",
    "mlp.3": "output.dense",
}
_PARAMETERS = {
    "embedding.x_class": "vit.embeddings.cls_token",
    "embedding.E_pos": "vit.embeddings.position_embeddings",
}


def to_transformers_weights(state: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
    """Rename a `ViT`'s state: U_qkv becomes three matrices, E the kernel of a convolution."""
    weights = {theirs: state[ours] for ours, theirs in _names(config).items()}
    for layer in range(config.num_layers):
        for kind in ("weight", "bias"):
            parts = state[f"blocks.{layer}.{_QKV}.{kind}"].chunk(3)
            for theirs, part in zip(_qkv_names(layer, kind), parts, strict=True):
                weights[theirs] = part
    E = _MODULES["embedding.E"] + ".weight"
    P = config.patch_size
    weights[E] = weights[E].reshape(config.hidden_size, config.num_channels, P, P)
    return {name: tensor.contiguous() for name, tensor in weights.items()}


def from_transformers_weights(
    weights: Mapping[str, Tensor], config: ViTConfig
) -> dict[str, Tensor]:
    """Rename a `ViTForImageClassification`'s weights; every tensor is accounted for.

    A checkpoint with ``qkv_bias`` false has no biases of q, k and v, and gets zeros: the same.

    Raises:
        ModelError: naming a tensor that is missing, unknown or of another shape.

    """
    left = dict(weights)
    state = {}
    try:
        for ours, theirs in _names(config).items():
            state[ours] = left.pop(theirs)
        for layer in range(config.num_layers):
            name = f"blocks.{layer}.{_QKV}"
            state[f"{name}.weight"] = torch.cat([left.pop(n) for n in _qkv_names(layer, "weight")])
            without_bias = not any(n in left for n in _qkv_names(layer, "bias"))
            state[f"{name}.bias"] = (
                torch.zeros(3 * config.hidden_size)
                if without_bias
                else torch.cat([left.pop(n) for n in _qkv_names(layer, "bias")])
            )
    except KeyError as error:
        raise ModelError(f"the weights lack {error.args[0]}") from error
    if left:
        raise ModelError(f"the weights hold what a ViT has not: {sorted(left)[0]}")
    state["embedding.E.weight"] = state["embedding.E.weight"].flatten(1)
    return state


def to_transformers_config(config: ViTConfig) -> dict[str, Any]:
    """The sizes as transformers' `ViTConfig` names them."""
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
    """Read the sizes; what is not there has transformers' default.

    Raises:
        ModelError: naming a value that this network cannot have.

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


def _names(config: ViTConfig) -> dict[str, str]:
    """Our name to theirs, of everything but q, k and v."""
    modules = dict(_MODULES)
    for layer in range(config.num_layers):
        for ours, theirs in _BLOCK_MODULES.items():
            modules[f"blocks.{layer}.{ours}"] = f"vit.encoder.layer.{layer}.{theirs}"
    return dict(_PARAMETERS) | {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in modules.items()
        for kind in ("weight", "bias")
    }


def _qkv_names(layer: int, kind: str) -> list[str]:
    prefix = f"vit.encoder.layer.{layer}.attention.attention"
    return [f"{prefix}.{part}.{kind}" for part in ("query", "key", "value")]
