from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from foodvision.models.config import NetworkConfig, ViTConfig
from foodvision.models.library_config import LibraryConfig
from foodvision.models.network import Network, build_network

VIT = ViTConfig.named("vit_ti16", image_size=32, num_layers=2, num_classes=3)
CONFIGS = (VIT, LibraryConfig("mobilenet_v3_small", 64, 3))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.family)
def test_an_empty_network_has_shapes_and_no_weights(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    empty = build_network(config, empty=True)
    assert torch.equal(torch.rand(3), expected)  # no random number is drawn
    assert all(weight.is_meta for weight in empty.parameters())
    full = build_network(config)
    shapes = {name: (x.shape, x.dtype) for name, x in full.state_dict().items()}
    assert {name: (x.shape, x.dtype) for name, x in empty.state_dict().items()} == shapes
    assert empty.config == full.config == config
    empty.load_state_dict(full.state_dict(), assign=True)
    x = torch.randn(1, 3, *config.input_size)
    assert torch.equal(empty.eval().features(x), full.eval().features(x))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.family)
def test_networks_are_float32_and_trainable_in_any_state(config: NetworkConfig) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            networks = build_network(config), build_network(config, empty=True)
    finally:
        torch.set_default_dtype(torch.float32)
    for network in networks:
        for weight in network.parameters():
            assert weight.dtype == torch.float32
            assert weight.requires_grad
            assert not weight.is_inference()


class Computed(TorchFunctionMode):
    """Records the functions that computed numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not result.is_meta:
            self.names.add(func.__name__)
        return result


def test_an_empty_vit_computes_nothing() -> None:
    with Computed() as computed:
        build_network(VIT, empty=True)
    assert not computed.names
    with Computed() as computed:
        build_network(VIT)
    assert {"sin", "cos", "zeros"} <= computed.names


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.family)
def test_every_network_keeps_the_protocol(config: NetworkConfig) -> None:
    network = build_network(config)
    assert isinstance(network, Network)
    assert isinstance(config, NetworkConfig)
    assert isinstance(network.head, nn.Linear)
    assert network.head.out_features == config.num_classes


def test_names_and_descriptions() -> None:
    vit, mobilenet = CONFIGS
    assert vit.description == "ViT of 2 layers, hidden size 192, 3 heads, patch 16"
    assert mobilenet.description == "torchvision's mobilenet_v3_small"
    names = ("vit_ti", "vit_ti16", "vit_ti8", "vit_s16", "mobilenet_v3_small", "nonsense")
    assert [name for name in names if vit.is_named(name)] == ["vit_ti", "vit_ti16"]
    assert [name for name in names if mobilenet.is_named(name)] == ["mobilenet_v3_small"]


def test_regularisation_is_changed_or_refused() -> None:
    vit, mobilenet = CONFIGS
    probabilities = {"dropout": 0.1, "attention_dropout": 0.2, "stochastic_depth": 0.3}
    assert vit.regularised(**probabilities) == replace(VIT, **probabilities)
    assert mobilenet.regularised(dropout=0.0, stochastic_depth=0.0) == mobilenet
    with pytest.raises(ValueError, match=r"^attention_dropout = 0.2: torchvision's mobilenet"):
        mobilenet.regularised(dropout=0.0, attention_dropout=0.2)
