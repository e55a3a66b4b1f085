"""Which network of torchvision or timm, at which size: plain data, without either library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from foodvision.bounds import check_sides, check_whole
from foodvision.images.spec import MAX_SIDE
from foodvision.models.config import MAX_CLASSES

MODEL_ARGS = ("act_layer", "global_pool", "norm_layer")
"""Names of a layer or a pooling, which timm looks up in a table."""


@dataclass(frozen=True)
class LibraryConfig:
    """A classifier of torchvision or timm; `LibraryNetwork` checks that it exists.

    Attributes:
        name: the library's, like ``efficientnet_b2``.
        image_size: height and width (H, W) of the input in pixels, at most 2048; one number for a
            square. Most networks take any size and work best near that of their published weights.
        num_classes: K, at most 10⁶; 0 for weights without a head.
        library: torchvision or timm.
        model_args: arguments of timm's `create_model` that change the network, only those in
            `MODEL_ARGS`; a Hub repository can have them.

    Raises:
        ValueError: if a value is of another type or out of bounds.

    """

    name: str
    image_size: int | tuple[int, int] = 224
    num_classes: int = 1000
    library: Literal["torchvision", "timm"] = "torchvision"
    model_args: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.library not in ("torchvision", "timm"):
            raise ValueError(f"library is torchvision or timm, not {self.library!r}")
        if not isinstance(self.name, str):
            raise ValueError(f"name is the name of a network, not {self.name!r}")
        for name, value in dict(self.model_args).items():
            if self.library != "timm" or name not in MODEL_ARGS or not isinstance(value, str):
                raise ValueError(f"model_args {name} = {value!r} is not supported")
        check_sides("image_size", self.image_size, MAX_SIDE)
        check_whole("num_classes", self.num_classes, 0, MAX_CLASSES)

    @property
    def family(self) -> str:
        """The library."""
        return self.library

    @property
    def input_size(self) -> tuple[int, int]:
        """H and W in pixels."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else size

    @property
    def kind(self) -> str:
        """The kind of network, for use in a sentence."""
        return f"{self.library}'s {self.name}"

    @property
    def description(self) -> str:
        """Its name, which implies its sizes."""
        return self.kind

    def is_named(self, name: str) -> bool:
        """Whether this is the library's name for it."""
        return self.name == name

    def regularised(self, **probabilities: float) -> LibraryConfig:
        """The config itself: its regularisation is the library's own.

        Raises:
            ValueError: naming a probability above 0.

        """
        for name, value in probabilities.items():
            if value:
                raise ValueError(f"{name} = {value}: {self.kind} has no such setting, only a ViT")
        return self
