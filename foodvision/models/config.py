"""Which network, for which images and classes: Table 1, and every size and setting of one network.

Plain data without torch, so that a recipe or a model folder is read without loading torch;
`build_network` builds the network.
"""

from __future__ import annotations

import math
import re
from dataclasses import Field, dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from foodvision.bounds import check_number, check_sides, check_whole
from foodvision.images.spec import MAX_SIDE


@runtime_checkable
class NetworkConfig(Protocol):
    """What every network's config has; a frozen dataclass, changed with `dataclasses.replace`.

    Attributes:
        family: which kind of network it is for: ``vit``, ``torchvision`` or ``timm``.

    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def family(self) -> str: ...  # noqa: D102

    @property
    def num_classes(self) -> int:
        """K."""

    @property
    def input_size(self) -> tuple[int, int]:
        """H and W in pixels."""

    @property
    def kind(self) -> str:
        """The kind of network, for use in a sentence."""

    @property
    def description(self) -> str:
        """The kind of network and its sizes, for a list of facts."""

    def is_named(self, name: str) -> bool:
        """Whether a recipe can call it by this name."""

    def regularised(self, **probabilities: float) -> NetworkConfig:
        """The config with this dropout, attention_dropout and stochastic_depth.

        Raises:
            ValueError: naming one above 0 that this network does not have.

        """


Pooling: TypeAlias = Literal["class_token", "average"]


class Variant(NamedTuple):
    """One row of Table 1."""

    num_layers: int
    hidden_size: int
    mlp_size: int
    num_heads: int


VARIANTS = {
    "ti": Variant(12, 192, 768, 3),  # Ti and S: google-research/vision_transformer, configs
    "s": Variant(12, 384, 1536, 6),
    "b": Variant(12, 768, 3072, 12),  # Base, Large, Huge: Table 1
    "l": Variant(24, 1024, 4096, 16),
    "h": Variant(32, 1280, 5120, 16),
}
PATCH_SIZES = (4, 8, 14, 16, 32)

MAX_PATCHES = 16_384
"""N at most: 2048 px in patches of 16."""

MAX_WEIGHTS = 10**10
"""Of a `ViT`; the largest published one of its kind has 4 · 10⁹."""

MAX_CLASSES = 1_000_000

_BOUNDS = {
    "patch_size": 1024,
    "num_layers": 256,
    "hidden_size": 16_384,
    "mlp_size": 65_536,
    "num_heads": 1024,
    "num_classes": MAX_CLASSES,
    "num_channels": 1024,
}
"""Largest values; the smallest are 1."""


@dataclass(frozen=True)
class ViTConfig:
    """The size of a network. The defaults are ViT-B/16 on ImageNet.

    Sizes are bounded, since they may come from a file that others wrote: at most 16,384 patches
    and 10¹⁰ weights.

    Attributes:
        image_size: height and width (H, W) of the input in pixels, multiples of P, at most 2048;
            one number for a square.
        patch_size: P, pixels of a patch's side, at most 1024.
        num_layers: L, at most 256.
        hidden_size: D, a multiple of k, at most 16,384.
        mlp_size: width of the MLP's hidden layer, 4 D in Table 1; at most 65,536.
        num_heads: k, at most 1024.
        num_classes: K, at most 10⁶.
        num_channels: C, at most 1024.
        pooling: what the head sees. ``class_token`` is the paper's Eq. 4; ``average`` is the mean
            over all patches (appendix D.3), with no class token.
        dropout: probability, after the embedding, the attention and each dense layer of the MLP
            (the authors' code; B.1 uses 0.1 when training on ImageNet from scratch).
        attention_dropout: probability, on the attention weights A.
        stochastic_depth: probability of skipping the last block's branches; earlier blocks'
            grow linearly from 0. Departs from the paper, which has none: it is what makes small
            data go further (DeiT, arXiv 2012.12877).
        layer_norm_eps: 1e-6 in the authors' code.

    Raises:
        ValueError: if a value is of the wrong type or out of bounds, or the sizes do not divide.

    """

    image_size: int | tuple[int, int] = 224
    patch_size: int = 16
    num_layers: int = 12
    hidden_size: int = 768
    mlp_size: int = 3072
    num_heads: int = 12
    num_classes: int = 1000
    num_channels: int = 3
    pooling: Pooling = "class_token"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    layer_norm_eps: float = 1e-6

    family: ClassVar[str] = "vit"

    def __post_init__(self) -> None:
        check_sides("image_size", self.image_size, MAX_SIDE)
        for name, high in _BOUNDS.items():
            check_whole(name, getattr(self, name), 1, high)
        for name in ("dropout", "attention_dropout", "stochastic_depth"):
            check_number(name, getattr(self, name), 0, 1)
        check_number("layer_norm_eps", self.layer_norm_eps, 0, 1)
        height, width = self.input_size
        if (
            min(height, width) < self.patch_size
            or height % self.patch_size
            or width % self.patch_size
        ):
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}"
            )
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )
        if self.pooling not in ("class_token", "average"):
            raise ValueError(f"pooling is class_token or average, not {self.pooling!r}")
        N, D = math.prod(self.grid), self.hidden_size
        if N > MAX_PATCHES:
            raise ValueError(
                f"image_size {self.image_size} has {N:,} patches of patch_size {self.patch_size}; "
                f"at most {MAX_PATCHES:,} are supported"
            )
        block = 4 * D * D + 2 * D * self.mlp_size
        rest = self.patch_size**2 * self.num_channels + N + self.num_classes
        if (weights := self.num_layers * block + rest * D) > MAX_WEIGHTS:
            raise ValueError(
                f"{self.description} has {weights:.1e} weights; at most {MAX_WEIGHTS:.0e} are "
                "supported"
            )

    @property
    def input_size(self) -> tuple[int, int]:
        """H and W in pixels."""
        size = self.image_size
        return size if isinstance(size, tuple) else (size, size)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across; their product is N."""
        height, width = self.input_size
        return height // self.patch_size, width // self.patch_size

    @property
    def kind(self) -> str:
        """The kind of network, for use in a sentence."""
        return "a Vision Transformer (arXiv 2010.11929)"

    @property
    def description(self) -> str:
        """The kind of network and its sizes, for a list of facts."""
        return (
            f"ViT of {self.num_layers} layers, hidden size {self.hidden_size}, "
            f"{self.num_heads} heads, patch {self.patch_size}"
        )

    def is_named(self, name: str) -> bool:
        """Whether this is its name in Table 1; the number of layers may differ."""
        try:
            variant, patch_size = parse_name(name)
        except ValueError:
            return False
        width = self.hidden_size == VARIANTS[variant].hidden_size
        return width and patch_size in (None, self.patch_size)

    def regularised(self, **probabilities: float) -> ViTConfig:
        """The config with this dropout, attention_dropout and stochastic_depth."""
        return replace(self, **probabilities)

    @classmethod
    def named(cls, name: str, **settings: Any) -> ViTConfig:
        """Table 1's network of a name like ``vit_b16``: variant and patch size.

        Args:
            name: ``vit_`` with ti, s, b, l or h, and the patch size (16 if none is named).
            settings: any other field; one that is named here as well wins.

        Raises:
            ValueError: if there is no such variant or patch size.

        """
        variant, patch_size = parse_name(name)
        sizes: dict[str, Any] = VARIANTS[variant]._asdict()
        if patch_size is not None:
            sizes["patch_size"] = patch_size
        return cls(**(sizes | settings))


def parse_name(name: str) -> tuple[str, int | None]:
    """Split ``vit_b16`` into its variant ``b`` and patch size 16 (None where none is named)."""
    match = re.fullmatch(r"vit_([a-z]+?)(\d+)?", name)
    if not match or match[1] not in VARIANTS:
        raise ValueError(
            f"no network {name!r}: there are vit_{', vit_'.join(VARIANTS)}; networks of libraries "
            "come with their weights, as in --weights torchvision:efficientnet_b2/IMAGENET1K_V1"
        )
    patch_size = int(match[2]) if match[2] else None
    if patch_size is not None and patch_size not in PATCH_SIZES:
        raise ValueError(f"{name}: patch sizes are {', '.join(map(str, PATCH_SIZES))}")
    return match[1], patch_size
