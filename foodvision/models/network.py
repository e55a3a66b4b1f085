"""What every network has in common, and how one is built from its config.

A `Classifier` holds a `Network` and training trains it; neither asks which network it is.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch.overrides import TorchFunctionMode

from foodvision.models.config import NetworkConfig, ViTConfig
from foodvision.models.library import TorchvisionNetwork
from foodvision.models.vit import ViT

Network: TypeAlias = ViT | TorchvisionNetwork
"""A `torch.nn.Module` whose stages turn images into features, its linear head those into logits.

Each has

- ``config``: which network it is; `build_network` builds another from it;
- ``stages()``: the modules between image and features in their order;
- ``features(x)``: the image's representation (B, D), which the head classifies;
- ``head``: a `torch.nn.Linear` from D features to K logits;
- ``forward(x)``: logits (B, K) of images (B, C, H, W), in float32 under autocast too.
"""


@torch.inference_mode(False)  # the weights of a network built in inference mode cannot be trained
def build_network(config: NetworkConfig, empty: bool = False) -> Network:
    """Build the network of a config with its initial weights, in training mode and float32.

    Args:
        config: which network.
        empty: build it without weights, which are about to be loaded: parameters have a shape and
            no memory, nothing is computed and no random number is drawn.

    Raises:
        ValueError: if there is no such network, or it cannot take images of the config's size.

    """
    if empty:
        with torch.device("cpu"), _WithoutWeights():
            return build_network(config)
    network = ViT(config) if isinstance(config, ViTConfig) else TorchvisionNetwork(config)
    return network.to(torch.float32)


class _WithoutWeights(TorchFunctionMode):
    """Allocates the parameters of layers on the meta device, in the current thread only.

    ``with torch.device("meta")`` is not reliable: PyTorch caches its list of functions on first
    use, and caches a wrong one if transformers has just replaced some, as it does while loading.
    accelerate's ``init_empty_weights`` replaces a method of `torch.nn.Module` for all threads.
    Other tensors stay real, because torchvision's constructors compute with them.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func.__name__ in ("empty", "zeros"):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)
