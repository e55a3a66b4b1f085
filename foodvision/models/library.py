"""torchvision's classifiers, such as EfficientNet-B2, with the same interface as `ViT`.

Layers, their names and their initial weights are torchvision's. Only the last layer is replaced:
the network without it computes `features`, and a new linear layer for K classes is its `head`.
"""

from __future__ import annotations

from difflib import get_close_matches

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from foodvision.models.config import TorchvisionConfig

_REFUSED = {
    "vit_": "is the paper's network, which foodvision has itself: ask for vit_b16",
    "googlenet": "cannot be used: in training it returns more than its logits",
    "inception_v3": "cannot be used: in training it returns more than its logits",
    "squeezenet": "cannot be used: its last layer is a convolution, not a linear layer",
}
"""Prefixes of the names that cannot be used, and why."""

# Modules that hold a network's blocks; some networks, such as ResNet, have them at the top level.
_BLOCKS = ("features", "layers", "trunk_output", "blocks")


def network_names() -> list[str]:
    """Every name that a `TorchvisionConfig` can have."""
    names = torchvision.models.list_models(torchvision.models)
    return [name for name in names if not name.startswith(tuple(_REFUSED))]


class TorchvisionNetwork(nn.Module):
    """One of torchvision's networks with a new head, initialised to zeros.

    Attributes:
        body: torchvision's network without its last linear layer, and without the dropout right
            before that.
        dropout: that dropout, 0.3 in EfficientNet-B2; 0 if there is none.
        head: D to K. Departs from torchvision for MaxViT, whose last layer has no bias.
        head_name: torchvision's name for the layer that the head replaces.

    Raises:
        ValueError: if there is no such network (the nearest is named), if it cannot be used here,
            or if it cannot take images of the config's size.

    """

    def __init__(self, config: TorchvisionConfig) -> None:
        super().__init__()
        _check_name(config.name)
        self.config = config
        self.body = torchvision.models.get_model(config.name, weights=None)
        (before, dropout), (self.head_name, last) = list(self.body.named_modules())[-2:]
        assert isinstance(last, nn.Linear)
        self.body.set_submodule(self.head_name, nn.Identity())
        self.dropout = nn.Dropout(0.0)
        if isinstance(dropout, nn.Dropout):
            self.body.set_submodule(before, nn.Identity())
            self.dropout = nn.Dropout(dropout.p)  # torchvision's modifies y in place
        self.head = nn.Linear(last.in_features, config.num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self._check_size()

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """Logits, in float32 under autocast too: their differences are what log loss sees."""
        y = self.features(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.head(self.dropout(y.to(self.head.weight.dtype)))

    def features(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """The image's representation y, which the head classifies."""
        return self.body(x)

    def stages(self) -> list[nn.Module]:
        """The modules between image and features in their order.

        Every parameter but the head's is in exactly one of them.
        """
        stages: list[nn.Module] = []
        for name, module in self.body.named_children():
            stages += module.children() if name in _BLOCKS else [module]
        return [stage for stage in stages if next(stage.parameters(), None) is not None]

    def _check_size(self) -> None:
        """Run the body once without arithmetic: nothing else tells which images are too small."""
        # In float32 like x, even if the user's default dtype is another.
        weights = {
            name: tensor.to("meta", torch.float32 if tensor.is_floating_point() else None)
            for name, tensor in self.body.state_dict().items()
        }
        self.body.eval()
        try:
            x = torch.empty(1, 3, *self.config.input_size, dtype=torch.float32, device="meta")
            with torch.no_grad():
                functional_call(self.body, weights, x)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"{self.config.name} cannot take images of {self.config.input_size} pixels"
            ) from error
        self.body.train()


def _check_name(name: str) -> None:
    for beginning, reason in _REFUSED.items():
        if name.startswith(beginning):
            raise ValueError(f"{name} {reason}")
    names = network_names()
    if name not in names:
        nearest = get_close_matches(name, names, n=1, cutoff=0)[0]
        raise ValueError(f"torchvision has no network {name!r}; the nearest is {nearest}")
