"""How the tensors of torchvision's and timm's own networks are named, in their files and in ours.

timm's published files can be older than its code: they are converted by timm itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from foodvision.models.config import NetworkConfig
from foodvision.models.library import convert_timm
from foodvision.weights.layouts import HEAD


@dataclass(frozen=True)
class LibraryLayout:
    """A layout of a `LibraryNetwork`, with the methods of `ViTLayout`.

    The body keeps the library's names; layouts differ in the prefixes of body and head.

    Attributes:
        body: prefix of the names in the body.
        head: prefix of the head's weight and bias; None for the library's name, see `of`.
        hidden_layer: None, since there is none.

    """

    body: str
    head: str | None
    hidden_layer: None = None

    def of(self, network: Any) -> LibraryLayout:
        """The layout of one network: the prefix of its head is known."""
        return replace(self, head=f"{network.head_name}.") if self.head is None else self

    def current(
        self, tensors: dict[str, Tensor], network: Any, num_classes: int
    ) -> dict[str, Tensor]:
        """The tensors as timm saves them now, for images of the network's size.

        Left as they are if timm cannot convert them either: the check of names and shapes tells
        what is wrong.

        Args:
            tensors: of a network with its own head.
            network: with a head of any size.
            num_classes: K of the tensors' head; 0 if there is none.

        """
        config = replace(network.config, num_classes=num_classes)
        if config.library != "timm":
            return tensors
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        for name in HEAD:
            shapes[name] = torch.Size((num_classes, *shapes[name][1:]))
            if not num_classes:
                del shapes[name]
        expected = {self.source_names(name)[0]: shape for name, shape in shapes.items()}
        total = sum(tensor.numel() for tensor in tensors.values())
        if {name: tensor.shape for name, tensor in tensors.items()} == expected:
            return tensors
        if sum(map(math.prod, expected.values())) > 2 * total:  # it could fill the memory
            return tensors
        published = LIBRARY_CLASSIFIER.of(network)
        names = {self.source_names(n)[0]: published.source_names(n)[0] for n in shapes}
        renamed = {names.get(n, n.removeprefix(self.body)): t for n, t in tensors.items()}
        try:
            found = convert_timm(config, renamed)
        except ValueError:
            return tensors
        return {name: found[source_name] for name, source_name in names.items()}

    def source_names(self, name: str) -> tuple[str]:
        """The library's name for one of our tensors."""
        part, _, rest = name.partition(".")
        return (f"{self.body if part == 'body' else self.head}{rest}",)

    def write(self, state: Mapping[str, Tensor], config: NetworkConfig) -> dict[str, Tensor]:
        """The state of a `LibraryNetwork` as the library would save it."""
        return {self.source_names(name)[0]: tensor for name, tensor in state.items()}

    def read(self, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
        """One of our tensors, from the library's."""
        return tensors[self.source_names(name)[0]].contiguous()


LIBRARY_CLASSIFIER = LibraryLayout(body="", head=None)
"""The `state_dict` of the library's own network."""

FOODVISION_LIBRARY = LibraryLayout(body="body.", head="head.")
"""The `state_dict` of a `LibraryNetwork`."""
