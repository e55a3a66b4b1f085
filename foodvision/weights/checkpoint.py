"""From a library's checkpoint to a network to use: its own, or one with a new head or resolution.

`Checkpoint` is what was read, in the library's words; `Pretrained` is what it means here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.models.config import NetworkConfig
from foodvision.models.network import Network
from foodvision.weights.layouts import HEAD, Format, empty_network
from foodvision.weights.prefixes import PrefixFormat

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """A network with its weights, ready to be used or trained on.

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
        format: whose words the tensors are named in.
        tensors: by name, in float32; counters are whole numbers.
        config: the network's sizes; its number of classes counts only where there is a head.
        spec: how its images are prepared.
        classes: names of its head's classes, as far as they are known.

    """

    format: Format | PrefixFormat
    tensors: dict[str, Tensor]
    config: NetworkConfig
    spec: ImageSpec
    classes: tuple[str, ...] | None = None

    @torch.inference_mode(False)
    def build(
        self, num_classes: int | None = None, image_size: int | tuple[int, int] | None = None
    ) -> Pretrained:
        """The network, exactly, or for another task; it shares the tensors' memory.

        Args:
            num_classes: of a new head, all zeros, in the place of the checkpoint's own; a hidden
                layer before that goes with it, which is said in one line. None keeps the own head.
            image_size: H and W in pixels. A ViT's are multiples of P: position embeddings are
                resized as the checkpoint's library does it. None keeps the checkpoint's.

        Raises:
            ModelError: naming a tensor that is missing, unknown, of another shape, or that the
                network cannot express; or if the sizes do not fit.

        """
        config, spec, classes, tensors = self.config, self.spec, self.classes, self.tensors
        if num_classes is None:
            self._check_head()
        else:
            config, classes = replace(config, num_classes=num_classes), None
            tensors = self._with_new_head(config)
        if classes and len(classes) != config.num_classes:
            raise ModelError(f"{len(classes)} class names for {config.num_classes} logits")
        state = self.format.read(tensors, config)
        if config.input_size != (spec.height, spec.width):
            raise ModelError(f"the network takes {config.input_size} pixels, the spec {spec.size}")
        if image_size is not None:
            old = config
            try:
                config, spec = replace(config, image_size=image_size), spec.at(image_size)
            except ValueError as error:
                raise ModelError(str(error)) from error
            self.format.resize(state, old, config)
        network = empty_network(config)
        network.load_state_dict(state, assign=True)
        return Pretrained(network.eval(), spec, classes)

    def knows(self, classes: tuple[str, ...]) -> bool:
        """Whether its own head is one of exactly these classes, in this order."""
        bias = self.tensors.get(self.format.theirs("head.bias")[0])
        own = bias is not None and len(bias) == len(classes) and not self._hidden_layer()
        return own and self.classes == classes

    def _hidden_layer(self) -> list[str]:
        prefix = self.format.hidden_layer
        return sorted(name for name in self.tensors if prefix and name.startswith(prefix))

    def _own_head(self) -> set[str]:
        return {name for ours in HEAD for name in self.format.theirs(ours)}

    def _check_head(self) -> None:
        if not self._own_head() & self.tensors.keys():
            raise ModelError("it has no head: say how many classes a new one is to have")
        if hidden := self._hidden_layer():
            raise ModelError(
                f"{hidden[-1]}: a hidden layer before the head, which a ViT has not; say how many "
                "classes a new head is to have, and both are left out"
            )

    def _with_new_head(self, config: NetworkConfig) -> dict[str, Tensor]:
        if hidden := self._hidden_layer():
            _logger.info("%s: the hidden layer before the old head is left out", hidden[-1])
        left_out = self._own_head() | set(hidden)
        head = empty_network(config).head
        zeros = {
            f"head.{name}": torch.zeros_like(x, device="cpu") for name, x in head.named_parameters()
        }
        return {
            name: tensor for name, tensor in self.tensors.items() if name not in left_out
        } | self.format.write(zeros, config)
