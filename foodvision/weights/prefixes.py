"""How a `TorchvisionNetwork` is named on disk: torchvision's way, and our own.

Its body keeps torchvision's names; only what stands before them differs, and before the head's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from foodvision.models.config import NetworkConfig, TorchvisionConfig
from foodvision.weights.layouts import OURS, Format, check_tensors, empty_network


@dataclass(frozen=True)
class PrefixFormat:
    """A way to write a `TorchvisionNetwork`; see `Format`, which is that of a `ViT`.

    Attributes:
        body: what stands before the names of the body's tensors.
        head: what stands before ``weight`` and ``bias`` of the head.
        hidden_layer: there is none.

    """

    body: str
    head: str
    hidden_layer: None = None

    def theirs(self, ours: str) -> tuple[str]:
        """The library's name of a tensor of ours."""
        part, _, name = ours.partition(".")
        return ((self.body if part == "body" else self.head) + name,)

    def write(self, state: Mapping[str, Tensor], config: TorchvisionConfig) -> dict[str, Tensor]:
        """The state of a `TorchvisionNetwork` as the library would save it."""
        return {self.theirs(ours)[0]: tensor.contiguous() for ours, tensor in state.items()}

    def read(self, tensors: Mapping[str, Tensor], config: TorchvisionConfig) -> dict[str, Tensor]:
        """The state of a `TorchvisionNetwork`, from what the library saved.

        Raises:
            ModelError: naming a tensor that is missing, unknown or another one.

        """
        # Changed and not made: it knows the versions of its modules, which MNASNet asks for.
        state = empty_network(config).state_dict()
        check_tensors(tensors, self.write(state, config), config.name)
        for ours in state:
            state[ours] = tensors[self.theirs(ours)[0]].contiguous()
        return state

    def resize(self, state: dict[str, Tensor], old: NetworkConfig, new: NetworkConfig) -> None:
        """Nothing in it depends on the resolution."""


OURS_WITH_BODY = PrefixFormat(body="body.", head="head.")
"""`TorchvisionNetwork.state_dict`."""


def torchvision_format(config: TorchvisionConfig) -> PrefixFormat:
    """`state_dict` of torchvision's own network."""
    network: Any = empty_network(config)
    return PrefixFormat(body="", head=f"{network.head_name}.")


OWN: dict[str, Format | PrefixFormat] = {"vit": OURS, "torchvision": OURS_WITH_BODY}
"""The network's own `state_dict`, by the family of its config."""
