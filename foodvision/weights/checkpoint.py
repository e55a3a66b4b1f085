"""From what a library saved to a network: its own, or one with a new head or resolution.

A `Checkpoint` holds the tensors under the library's names. Building from it accounts for every
one: a tensor that is missing, unknown or of another shape is an error that gives that name.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.models.config import NetworkConfig
from foodvision.models.network import Network, build_network
from foodvision.weights.layouts import HEAD, POSITIONS, PROJECTION, ViTLayout
from foodvision.weights.library_layout import LibraryLayout
from foodvision.weights.positions import resize_positions
from foodvision.weights.projection import resize_projection

_logger = logging.getLogger(__name__)


class HeadlessError(ModelError):
    """Weights without a head were to be used as they are."""

    def __init__(self) -> None:
        super().__init__("it has no head: give the number of classes for a new one")


@dataclass(frozen=True)
class Pretrained:
    """A network with its weights, ready to be used or trained.

    Attributes:
        network: in evaluation mode, on the CPU, in float32.
        spec: how its images are prepared.
        classes: K names in the order of the logits; None if the head is new or has no names.

    """

    network: Network
    spec: ImageSpec
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class Checkpoint:
    """What a library saved.

    Attributes:
        layout: how the library names and shapes the tensors.
        tensors: by the library's names, in float32; counters are integers.
        config: the network's sizes; num_classes is meaningless (timm's: 0) if there is no head.
        spec: how its images are prepared.
        classes: names of its head's classes; None if it has no head or they are unknown.
        resize: whether a network is built for the size of `spec` although the weights are for
            that of `config`; DINOv2 was trained up to 518 px and is used at 224 px.

    """

    layout: ViTLayout | LibraryLayout
    tensors: dict[str, Tensor]
    config: NetworkConfig
    spec: ImageSpec
    classes: tuple[str, ...] | None = None
    resize: bool = False

    @torch.inference_mode(False)  # else the weights could never be trained
    def build(
        self,
        num_classes: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        patch_size: int | None = None,
    ) -> Pretrained:
        """Build the network, exactly as saved or for another task; it shares the tensors' memory.

        Args:
            num_classes: of a new head, all zeros, in place of the checkpoint's own; a hidden layer
                before that is dropped too, which is logged. None keeps the checkpoint's head.
            image_size: H and W in pixels, for a ViT multiples of P: its position embeddings are
                resized as the library does it (section 3.2). None takes the checkpoint's.
            patch_size: P in pixels, of a ViT; its patch projection is resized. None takes the
                checkpoint's.

        Raises:
            HeadlessError: if it has no head and none is asked for.
            ModelError: naming a tensor that is missing, unknown, of another shape or not
                supported by the network; or if the sizes do not fit.

        """
        config, spec, classes = self.config, self.spec, self.classes
        if num_classes is not None:
            config, classes = replace(config, num_classes=num_classes), None
        elif not config.num_classes:
            raise HeadlessError
        if classes and len(classes) != config.num_classes:
            raise ModelError(f"{len(classes)} class names for {config.num_classes} logits")
        if patch_size is not None and config.family != "vit":
            raise ModelError(f"patch_size is for a ViT, not for {config.kind}")
        sizes: dict[str, Any] = {} if patch_size is None else {"patch_size": patch_size}
        if image_size is not None or self.resize:
            sizes["image_size"] = spec.size if image_size is None else image_size
        try:
            resized = replace(config, **sizes)
            if image_size is not None:
                spec = spec.at(image_size)
            network = build_network(resized, empty=True)
        except ValueError as error:
            raise ModelError(str(error)) from error
        if resized.input_size != (spec.height, spec.width):
            raise ModelError(f"the network takes {config.input_size} pixels, the spec {spec.size}")
        layout = self.layout.of(network)
        own_head = {source_name for name in HEAD for source_name in layout.source_names(name)}
        tensors = layout.current(self.tensors, network, self.config.num_classes)
        if num_classes is None:
            self._check_head(own_head & tensors.keys())
        else:
            new = network.state_dict()
            head = {name: torch.zeros_like(new[name], device="cpu") for name in HEAD}
            dropped = own_head | self._dropped_layer()
            tensors = {n: t for n, t in tensors.items() if n not in dropped}
            tensors |= layout.write(head, config)
        network.load_state_dict(_state(network, layout, tensors, config), assign=True)
        return Pretrained(network.eval(), spec, classes)

    def has_head_for(self, classes: tuple[str, ...]) -> bool:
        """Whether its own head is for exactly these classes, in this order."""
        return self.classes == classes and not self._hidden_layer()

    def _hidden_layer(self) -> list[str]:
        prefix = self.layout.hidden_layer
        return sorted(name for name in self.tensors if prefix and name.startswith(prefix))

    def _check_head(self, own_head: set[str]) -> None:
        if not own_head:
            raise HeadlessError
        if hidden := self._hidden_layer():
            raise ModelError(
                f"{hidden[-1]}: a hidden layer before the head, which a ViT does not have; give "
                "the number of classes for a new head, and both are dropped"
            )

    def _dropped_layer(self) -> set[str]:
        if hidden := self._hidden_layer():
            _logger.info("%s: dropping the hidden layer before the old head", hidden[-1])
        return set(hidden)


def _state(
    network: Any, layout: ViTLayout | LibraryLayout, tensors: Mapping[str, Tensor], config: Any
) -> dict[str, Tensor]:
    """The network's state, of tensors that were saved at the sizes of `config`."""
    state = network.state_dict()  # changed in place: MNASNet looks for its module versions
    expected = dict(state)
    if POSITIONS in state:
        D, n = config.hidden_size, math.prod(config.grid) + (config.pooling == "class_token")
        inputs = config.num_channels * config.patch_size**2
        expected[POSITIONS] = state[POSITIONS].new_empty(1, n, D)
        expected[PROJECTION] = state[PROJECTION].new_empty(D, inputs)
    _check_tensors(tensors, layout.write(expected, config), config.description)
    for name in state:
        state[name] = layout.read(name, tensors)
    if POSITIONS in state:
        state[POSITIONS] = resize_positions(
            state[POSITIONS], config.grid, network.config.grid, layout.resampling
        )
        old, new = config.patch_size, network.config.patch_size
        if old != new:
            _logger.info("the projection of patches is resized from %d px to %d px", old, new)
        state[PROJECTION] = resize_projection(state[PROJECTION], config.num_channels, old, new)
    return state


def _check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], network: str
) -> None:
    """Check that the tensors are the network's, in their names, shapes and types.

    Raises:
        ModelError: naming a tensor that is missing, unknown or different.

    """
    if missing := expected.keys() - tensors.keys():
        raise ModelError(f"the weights lack {min(missing)}")
    if unknown := tensors.keys() - expected.keys():
        raise ModelError(
            f"the weights hold {min(unknown)}, which the network does not have ({network})"
        )
    for name, tensor in expected.items():
        found = tensors[name]
        if found.shape != tensor.shape:
            raise ModelError(f"{name} has shape {tuple(found.shape)}, not {tuple(tensor.shape)}")
        if found.dtype != tensor.dtype:
            raise ModelError(f"{name} holds {found.dtype}, not {tensor.dtype}")
