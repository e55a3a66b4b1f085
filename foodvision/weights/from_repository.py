"""A model repository's config.json and tensors: to a `Checkpoint`, and from a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foodvision.errors import ModelError
from foodvision.models.config import NetworkConfig, TorchvisionConfig, ViTConfig
from foodvision.models.network import Network
from foodvision.weights import from_timm
from foodvision.weights.checkpoint import Checkpoint
from foodvision.weights.from_transformers import from_transformers_config, to_transformers_config
from foodvision.weights.layouts import HEAD, TIMM, TRANSFORMERS, recognise
from foodvision.weights.prefixes import OWN
from foodvision.weights.repository import CONFIG, WEIGHTS, class_names, image_spec, read_json
from foodvision.weights.tensors import read_tensors


def read_repository(folder: Path) -> Checkpoint:
    """A folder as transformers, timm or we wrote it.

    Raises:
        ModelError: if a file is missing or damaged, or says what no network of ours can be.

    """
    config = read_json(folder / CONFIG)
    if not (folder / WEIGHTS).exists():
        raise ModelError(f"not a model folder: it has no {WEIGHTS}")
    return read_described(folder, config, read_tensors(folder / WEIGHTS))


def read_described(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    """Weights and the config.json that describes them; the folder may describe their images."""
    if "architecture" in config:
        return _timm(config, tensors)
    classes = class_names(config)
    model_type = config.get("model_type")
    spec = image_spec(folder, config)
    if model_type == "foodvision":
        own = _own_config(config)
        return Checkpoint(OWN[own.family], tensors, own, spec, classes)
    if model_type == "vit":
        tensors = recognise(tensors)[1]
        head = tensors.get(TRANSFORMERS.theirs(HEAD[1])[0])
        num_classes = len(classes) if classes else 1 if head is None else len(head)
        network = from_transformers_config(config, num_classes)
        if config.get("qkv_bias") is False:  # the same as biases of zero
            tensors |= _zero_biases(network)
        return Checkpoint(TRANSFORMERS, tensors, network, spec, classes)
    raise ModelError(f"{CONFIG}: model_type {model_type!r} is not supported")


def _timm(config: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    from_timm.check_architecture(config)
    spec = from_timm.image_spec(config)
    return Checkpoint(TIMM, tensors, TIMM.sizes(tensors), spec, from_timm.class_names(config))


def _zero_biases(network: ViTConfig) -> dict[str, Tensor]:
    return {
        name: torch.zeros(network.hidden_size, dtype=torch.float32, device="cpu")
        for layer in range(network.num_layers)
        for name in TRANSFORMERS.theirs(f"blocks.{layer}.msa.U_qkv.bias")
    }


def _own_config(config: dict[str, Any]) -> NetworkConfig:
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config["network"].items()
        }
        return TorchvisionConfig(**values) if "name" in values else ViTConfig(**values)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"{CONFIG}: network is damaged ({error})") from error


def repository_content(network: Network) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a model repository says of a network: its part of config.json, and its tensors.

    They are transformers' where that can express the network, a `ViT` with a class token; else
    ``model_type: "foodvision"`` and our own names. Tensors are on the CPU and in float32; whole
    numbers, such as batch normalisation's counters, stay what they are.
    """
    config, tensors = _CONTENT[network.config.family](network.config, network.state_dict())
    return config, {name: _as_saved(tensor) for name, tensor in tensors.items()}


def _vit_content(
    config: ViTConfig, state: Mapping[str, Tensor]
) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    if config.pooling != "class_token":
        return _own_content(config, state)
    return to_transformers_config(config), TRANSFORMERS.write(state, config)


def _own_content(
    config: NetworkConfig, state: Mapping[str, Tensor]
) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    return {"model_type": "foodvision", "network": asdict(config)}, state


_CONTENT: dict[str, Callable[..., tuple[dict[str, Any], Mapping[str, Tensor]]]] = {
    "vit": _vit_content,
    "torchvision": _own_content,
}


def _as_saved(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.float() if tensor.is_floating_point() else tensor
