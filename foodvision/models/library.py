"""The classifiers of torchvision and timm, with the same interface as `ViT`.

Layers, their names and their initial weights are the library's. Only the last layer is replaced:
the network without it computes `features`, and a new linear layer for K classes is its `head`.
timm is optional and is imported only for its own networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from foodvision.errors import MissingExtraError, ModelError
from foodvision.models.library_config import LibraryConfig

_REFUSED = {
    "vit_": "is the paper's network, which foodvision has itself: ask for vit_b16",
    "googlenet": "cannot be used: in training it returns more than its logits",
    "inception_v3": "cannot be used: in training it returns more than its logits",
    "squeezenet": "cannot be used: its last layer is a convolution, not a linear layer",
}
"""Prefixes of torchvision's names that cannot be used, and why."""

# Modules that hold a network's blocks; some networks, such as ResNet, have them at the top level.
_BLOCKS = ("features", "layers", "trunk_output", "blocks", "stages")


def network_names() -> list[str]:
    """Every name of torchvision's that a `LibraryConfig` can have."""
    names = torchvision.models.list_models(torchvision.models)
    return [name for name in names if not name.startswith(tuple(_REFUSED))]


class LibraryNetwork(nn.Module):
    """A network of torchvision or timm with a new head, initialised to zeros.

    Attributes:
        body: the library's network without its last linear layer, and without the dropout right
            before that.
        dropout: that dropout, 0.3 in torchvision's EfficientNet-B2; 0 if there is none.
        head: D to K. Departs from torchvision for MaxViT, whose last layer has no bias.
        head_name: the library's name for the layer that the head replaces.

    Raises:
        MissingExtraError: if timm is needed and is not installed.
        ValueError: if there is no such network (the nearest is named), if it cannot be used here,
            or if it cannot take images of the config's size.

    """

    def __init__(self, config: LibraryConfig) -> None:
        super().__init__()
        self.config = config
        self.body = _torchvision(config) if config.library == "torchvision" else _timm(config)
        self.head_name, last = _classifier(self.body, config)
        before, dropout = _module_before(self.body, self.head_name)
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
        """Logits."""
        return self.classify(self.features(x))

    def features(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """The image's representation y, which the head classifies."""
        return self.body(x)

    def classify(self, y: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """Logits of y, in float32 under autocast too: their differences are what log loss sees."""
        with torch.autocast(y.device.type, enabled=False):
            return self.head(self.dropout(y.to(self.head.weight.dtype)))

    def feature_map(
        self, x: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B D"]]:
        """The last feature map with more than one place, and the features computed from it.

        Raises:
            ModelError: if there is none, as in a network of tokens.

        """
        found: list[Tensor] = []
        D = self.head.in_features

        def keep(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor) or output.dim() not in (3, 4):
                return None
            if output.dim() == 3:  # a sequence of tokens: what came before is no longer the last
                found.clear()
                return None
            last = output.shape[1] != D and output.shape[3] == D  # channels last, as in Swin
            A = output.permute(0, 3, 1, 2) if last else output
            if A.shape[2] * A.shape[3] == 1:
                return None
            found[:] = [A]
            # The rest of the network gets a copy, because it may modify it in place.
            return (A.permute(0, 2, 3, 1) if last else A).clone()

        hooks = [module.register_forward_hook(keep) for module in self.body.modules()]
        try:
            y = self.features(x)
        finally:
            for hook in hooks:
                hook.remove()
        if not found:
            raise ModelError(f"{self.config.name} has no feature map that Grad-CAM could show")
        return found[0], y

    def stages(self) -> list[nn.Module]:
        """The modules between image and features in their order.

        Every parameter but the head's is in exactly one of them. Those that belong to no module,
        such as a class token, are the first.
        """
        stages: list[nn.Module] = [nn.ParameterList(self.body.parameters(recurse=False))]
        for name, module in self.body.named_children():
            stages += module.children() if name in _BLOCKS else [module]
        return [stage for stage in stages if next(stage.parameters(), None) is not None]

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As `torch.nn.Module`; buffers that are computed, not saved, are filled in if empty."""
        result = super().load_state_dict(state_dict, strict, assign)
        modules = list(self.body.modules())
        empty = [
            (module, name, buffer)
            for module in modules
            for name, buffer in module.named_buffers(recurse=False)
            if buffer.is_meta
        ]
        for module, name, buffer in empty:
            setattr(module, name, torch.empty_like(buffer, device="cpu"))
        for module in modules if empty else ():
            if hasattr(module, "init_non_persistent_buffers"):  # timm's name for it
                module.init_non_persistent_buffers()
        return result

    def _check_size(self) -> None:
        """Run the body once without arithmetic: nothing else tells which images are too small."""
        # In float32 like x, even if the user's default dtype is another.
        tensors = {
            name: tensor.to("meta", torch.float32 if tensor.is_floating_point() else None)
            for name, tensor in (*self.body.named_parameters(), *self.body.named_buffers())
        }
        self.body.eval()
        try:
            x = torch.empty(1, 3, *self.config.input_size, dtype=torch.float32, device="meta")
            with torch.no_grad():
                y = functional_call(self.body, tensors, x)
        except Exception as error:  # each network checks its input in its own way
            raise ValueError(
                f"{self.config.name} cannot take images of {self.config.input_size} pixels"
            ) from error
        if not isinstance(y, Tensor) or y.shape != (1, self.head.in_features):
            raise ValueError(f"{self.config.name} cannot be used: {_NOT_LINEAR}")
        self.body.train()


def convert_timm(config: LibraryConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that timm published under older names or at another size, converted by timm itself.

    Args:
        config: the network they are for.
        tensors: by timm's names.

    Raises:
        ValueError: if they are not this network's.

    """
    overlay = {
        "state_dict": dict(tensors),
        "num_classes": config.num_classes,
        "source": "",  # not the Hub: these tensors
        "label_offset": 0,
    }
    with torch.random.fork_rng(devices=[]):  # timm draws initial weights first
        body = _timm(config, pretrained=True, pretrained_cfg_overlay=overlay)
    return body.state_dict()


_NOT_LINEAR = "its classifier is not one linear layer"


def _classifier(body: nn.Module, config: LibraryConfig) -> tuple[str, nn.Linear]:
    """The last linear layer and its name."""
    modules = list(body.named_modules())
    last = modules[-1][1] if config.library == "torchvision" else body.get_classifier()
    name = next((name for name, module in modules if module is last), None)
    biased = config.library == "torchvision" or getattr(last, "bias", None) is not None
    # By name: timm has a subclass of its own for TorchScript, and others that compute more.
    linear = isinstance(last, nn.Linear) and type(last).__name__ == "Linear"
    if name is None or not linear or not biased:
        raise ValueError(f"{config.name} cannot be used: {_NOT_LINEAR}")
    return name, last


def _module_before(body: nn.Module, name: str) -> tuple[str, nn.Module]:
    modules = list(body.named_modules())
    return modules[[name for name, _ in modules].index(name) - 1]


def _torchvision(config: LibraryConfig) -> nn.Module:
    for beginning, reason in _REFUSED.items():
        if config.name.startswith(beginning):
            raise ValueError(f"{config.name} {reason}")
    _check_name(config, network_names())
    return torchvision.models.get_model(config.name, weights=None)


def _check_name(config: LibraryConfig, names: list[str]) -> None:
    if config.name not in names:
        nearest = get_close_matches(config.name, names, n=1, cutoff=0)[0]
        raise ValueError(
            f"{config.library} has no network {config.name!r}; the nearest is {nearest}"
        )


def _timm(config: LibraryConfig, **pretrained: Any) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(f"{config.name}, a network of timm,", "timm") from error
    _check_name(config, timm.list_models())
    arguments: dict[str, Any] = dict(config.model_args)
    published = timm.get_pretrained_cfg(config.name)
    if published is not None and published.fixed_input_size:
        arguments["img_size"] = config.input_size
    try:
        return timm.create_model(
            config.name, num_classes=config.num_classes, **arguments, **pretrained
        )
    except Exception as error:  # each network checks its arguments in its own way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"timm's {config.name} cannot be built for images of {config.input_size} pixels "
            f"({reason})"
        ) from error
