"""torchvision's classifiers, EfficientNet-B2 before all, in the same words as our own `ViT`.

The network is torchvision's and so are its names and its first random weights. Ours is the last
layer alone: taken off, it leaves `features`; put back for K classes, it is `head`.
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
    "vit_": "is the paper's network, which is our own: ask for it as vit_b16",
    "googlenet": "cannot be used: in training it answers with more than its logits",
    "inception_v3": "cannot be used: in training it answers with more than its logits",
    "squeezenet": "cannot be used: its last layer is a convolution, not a linear layer",
}
"""How names begin, and why they are no `TorchvisionConfig`'s."""

# Where a network keeps its blocks, if it does so in one module; ResNet, say, has them side by side.
_BLOCKS = ("features", "layers", "trunk_output", "blocks")


def network_names() -> list[str]:
    """Every name that a `TorchvisionConfig` can have."""
    names = torchvision.models.list_models(torchvision.models)
    return [name for name in names if not name.startswith(tuple(_REFUSED))]


class TorchvisionNetwork(nn.Module):
    """A network of torchvision's with a new head, which is all zeros.

    Attributes:
        body: torchvision's network without its last linear layer, and without the dropout right
            before that.
        dropout: that dropout, 0.3 in EfficientNet-B2; 0 where there is none.
        head: D to K. Departs from torchvision where that has a layer without bias (MaxViT).
        head_name: what torchvision calls the layer in whose place the head is.

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
            self.dropout = nn.Dropout(dropout.p)  # torchvision's own would change y in place
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
        """Run once without arithmetic: nothing else says which images are too small for it."""
        # In float32, as x is, whatever the user's default was when the body was made.
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
