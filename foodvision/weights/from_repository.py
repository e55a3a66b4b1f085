"""From a model repository to a `Checkpoint`, and from a network to a repository's content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foodvision.errors import ModelError
from foodvision.models.network import Network
from foodvision.weights import from_dinov2, from_timm
from foodvision.weights.checkpoint import Checkpoint
from foodvision.weights.from_transformers import full_names, to_transformers_config
from foodvision.weights.layouts import DINOV2, FOODVISION_VIT, HEAD, TIMM, TRANSFORMERS, ViTLayout
from foodvision.weights.library_layout import FOODVISION_LIBRARY, LIBRARY_CLASSIFIER
from foodvision.weights.repository import (
    CONFIG,
    DAMAGES,
    WEIGHTS,
    class_names,
    explain,
    image_spec,
    network_config,
    read_json,
)
from foodvision.weights.sizes import vit_config
from foodvision.weights.tensors import read_tensors


def read_repository(folder: Path) -> Checkpoint:
    """Read a folder that transformers, timm or foodvision wrote.

    Raises:
        ModelError: if a file is missing or damaged, or describes an unsupported network.

    """
    config = read_json(folder / CONFIG)
    if not (folder / WEIGHTS).exists():
        raise ModelError(f"not a model folder: it has no {WEIGHTS}")
    return read_described(folder, config, read_tensors(folder / WEIGHTS))


def read_described(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    """Combine tensors with the config.json, and the preprocessor_config.json, of their folder."""
    if "architecture" in config:
        try:
            return _timm(config, tensors)
        except DAMAGES as error:
            raise ModelError(f"{CONFIG}: {explain(error)}") from error
    spec, classes = image_spec(folder, config), class_names(config)
    if config.get("model_type") == "foodvision":
        network = network_config(config, len(classes or ()))
        layout = FOODVISION_VIT if network.family == "vit" else FOODVISION_LIBRARY
        return Checkpoint(layout, tensors, network, spec, classes)
    dinov2 = config.get("model_type") == "dinov2"
    layout = DINOV2 if dinov2 else TRANSFORMERS
    if dinov2:
        network_config(config, 1)  # says what is not supported before the tensors do
        tensors = from_dinov2.without_layer_scale(tensors)
    else:
        tensors = full_names(tensors)
    head = tensors.get(layout.source_names("head.bias")[0])
    if head is None:  # id2label may be there all the same
        classes = None
    network = network_config(config, 1 if head is None else len(head))
    if config.get("qkv_bias") is False:  # equal to biases of zero
        tensors |= _zero_biases(layout, network)
    return Checkpoint(layout, tensors, network, spec, classes, resize=dinov2)


def _timm(config: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    spec, classes = from_timm.image_spec(config), from_timm.class_names(config)
    if network := from_timm.library_config(config, spec):
        return Checkpoint(LIBRARY_CLASSIFIER, tensors, network, spec, classes)
    if TIMM.source_names("head.bias")[0] not in tensors:
        classes = None
    if not (config["architecture"].endswith("dinov2") or from_dinov2.is_dinov2(tensors)):
        return Checkpoint(TIMM, tensors, vit_config(TIMM, tensors), spec, classes)
    tensors = from_dinov2.without_layer_scale(tensors)
    if spec.size == from_dinov2.TRAINED_SIZE:
        spec = from_dinov2.USUAL_SPEC
    return Checkpoint(TIMM, tensors, vit_config(TIMM, tensors), spec, classes, resize=True)


def _zero_biases(layout: ViTLayout, network: Any) -> dict[str, Tensor]:
    return {
        name: torch.zeros(network.hidden_size, dtype=torch.float32, device="cpu")
        for layer in range(network.num_layers)
        for name in layout.source_names(f"blocks.{layer}.msa.U_qkv.bias")
    }


def repository_content(
    network: Network, with_head: bool = True
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a model repository holds of a network: its part of config.json, and its tensors.

    A `ViT` with a class token is written in transformers' format, any other network with
    ``model_type: "foodvision"`` and our own names. Tensors are on the CPU and in float32; integers,
    such as batch normalisation's counters, keep their type. Without its head, a `ViT` is what
    transformers calls a `ViTModel`.
    """
    config: Any = network.config
    tensors: Mapping[str, Tensor] = network.state_dict()
    if not with_head:
        tensors = {name: tensor for name, tensor in tensors.items() if name not in HEAD}
    if config.family == "vit" and config.pooling == "class_token":
        described, tensors = to_transformers_config(config), TRANSFORMERS.write(tensors, config)
        if not with_head:
            described["architectures"] = ["ViTModel"]
            tensors = {name.removeprefix("vit."): tensor for name, tensor in tensors.items()}
    else:
        described = {"model_type": "foodvision", "network": asdict(config)}
    return described, {name: _as_saved(tensor) for name, tensor in tensors.items()}


def _as_saved(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.float() if tensor.is_floating_point() else tensor
