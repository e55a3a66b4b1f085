"""What every network has in common, and how one is built from its config.

A `Classifier` holds a `Network` and training trains it; neither asks which network it is.
"""

# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from foodvision.models.config import NetworkConfig
from foodvision.models.library import LibraryNetwork
from foodvision.models.vit import ViT


@runtime_checkable
class Network(Protocol):
    """A `torch.nn.Module`: its stages turn images into features, its linear head those into logits.

    Attributes:
        config: which network it is; `build_network` builds another from it.
        head: from D features to K logits.

    """

    @property
    def config(self) -> NetworkConfig: ...

    if TYPE_CHECKING:  # isinstance() does not find submodules from Python 3.12 on

        @property
        def head(self) -> nn.Linear: ...

    def __call__(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Logits: `classify` of `features`."""

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The image's representation, which the head classifies."""

    def classify(self, y: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """The logits of features, in float32 under autocast too."""

    def stages(self) -> list[nn.Module]:
        """The modules between image and features in their order."""

    # As in `torch.nn.Module`:
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def buffers(self) -> Iterator[Tensor]: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def to(self, device: torch.device) -> Network: ...
    def cpu(self) -> Network: ...
    def eval(self) -> Network: ...
    def requires_grad_(self) -> Network: ...


_NETWORKS: dict[str, Callable[[Any], Network]] = {
    "vit": ViT,
    "torchvision": LibraryNetwork,
    "timm": LibraryNetwork,
}


@torch.inference_mode(False)  # the weights of a network built in inference mode cannot be trained
def build_network(config: NetworkConfig, empty: bool = False) -> Network:
    """Build the network of a config with its initial weights, in training mode and float32.

    Args:
        config: which network.
        empty: build it without weights, which are about to be loaded: parameters have a shape and
            no memory, nothing is computed and no random number is drawn.

    Raises:
        MissingExtraError: if timm is needed and is not installed.
        ValueError: if there is no such network, or it cannot take images of the config's size.

    """
    build = _NETWORKS[config.family]
    if not empty:
        return build(config).to(torch.float32)
    with torch.device("cpu"), _WithoutWeights():
        return build(config).to(torch.float32)


class _WithoutWeights(TorchFunctionMode):
    """Allocates the parameters of layers on the meta device, in the current thread only.

    ``with torch.device("meta")`` is not reliable: PyTorch caches its list of functions on first
    use, and caches a wrong one if transformers has just replaced some, as it does while loading.
    accelerate's ``init_empty_weights`` replaces a method of `torch.nn.Module` for all threads.
    Other tensors stay real, because the libraries' constructors compute with them.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func.__name__ in ("empty", "zeros", "randn"):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)
