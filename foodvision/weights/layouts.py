"""How each library names and shapes the tensors of a network.

A layout translates between a library's tensors and the `state_dict` of our network, both ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from foodvision.models.config import ViTConfig
from foodvision.models.network import Network
from foodvision.weights.positions import (
    INTERPOLATE_EMBEDDINGS,
    INTERPOLATE_POS_ENCODING,
    RESAMPLE_ABS_POS_EMBED,
    ZOOM,
    Resampling,
)

HEAD = ("head.weight", "head.bias")
POSITIONS = "embedding.E_pos"
PROJECTION = "embedding.E.weight"

_NAME = re.compile(r"(?:blocks\.(?P<layer>\d+)\.)?(?P<part>.+?)(?:\.(?P<kind>weight|bias))?")


@dataclass(frozen=True)
class ViTLayout:
    """A library's layout of a Vision Transformer.

    Attributes:
        library: its name.
        block: prefix of the names in one encoder block; ``{layer}`` counts from 0.
        names: for each part of a `ViT`, its name in the library, in a block without the prefix.
            ``{kind}`` is weight or bias; Flax calls a weight ``{kernel}`` or ``{scale}``. A name
            with ``{qkv}`` is three: query, key and value are stored separately.
        hidden_layer: prefix of the names in the paper's hidden layer before the head, which our
            `ViT` does not have; None if the library has none either.
        resampling: how the library resizes position embeddings.
        from_source: converts one of the library's tensors to ours, given our name.
        to_source: and back.

    """

    library: str
    block: str
    names: Mapping[str, str]
    hidden_layer: str | None
    resampling: Resampling
    from_source: Callable[[str, Tensor], Tensor]
    to_source: Callable[[str, Tensor, ViTConfig], Tensor]

    def of(self, network: Network) -> ViTLayout:
        """The layout of one network; here the same for all."""
        return self

    def current(
        self, tensors: dict[str, Tensor], network: Network, num_classes: int
    ) -> dict[str, Tensor]:
        """The tensors as the library saves them now; here no other way is known."""
        return tensors

    def source_names(self, name: str) -> tuple[str, ...]:
        """The library's name for one of our tensors; three if q, k and v are stored separately."""
        match = _NAME.fullmatch(name)
        assert match
        layer, part, kind = match["layer"], match["part"], match["kind"]
        weight = kind == "weight"
        name = ("" if layer is None else self.block) + self.names[part]
        return tuple(
            name.format(
                layer=layer,
                kind=kind,
                kernel="kernel" if weight else "bias",
                scale="scale" if weight else "bias",
                qkv=qkv,
            )
            for qkv in (("query", "key", "value") if "{qkv}" in name else ("",))
        )

    def write(self, state: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
        """The state of a `ViT` as the library would save it."""
        return {
            source_name: self.to_source(name, part, config).contiguous()
            for name, tensor in state.items()
            for source_names in [self.source_names(name)]
            for source_name, part in zip(source_names, tensor.chunk(len(source_names)), strict=True)
        }

    def read(self, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
        """One of our tensors, from the library's."""
        parts = [self.from_source(name, tensors[part]) for part in self.source_names(name)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).contiguous()


def _from_convolution(name: str, tensor: Tensor) -> Tensor:
    """In every PyTorch library, E is the kernel of a convolution."""
    return tensor.flatten(1) if name == PROJECTION else tensor


def _to_convolution(name: str, tensor: Tensor, config: ViTConfig) -> Tensor:
    P = config.patch_size
    return tensor.reshape(len(tensor), -1, P, P) if name == PROJECTION else tensor


def _from_flax(name: str, tensor: Tensor) -> Tensor:
    """Kernels have their input axis first, and heads have an axis of their own."""
    if name == PROJECTION:  # height, width, channels, D
        return tensor.permute(3, 2, 0, 1).flatten(1)
    if "norm" in name or name in ("embedding.x_class", POSITIONS):
        return tensor
    if name.endswith("bias"):
        return tensor.flatten()
    return (tensor.flatten(0, 1) if "U_msa" in name else tensor.flatten(1)).T


def _to_flax(name: str, tensor: Tensor, config: ViTConfig) -> Tensor:
    P, D, heads = config.patch_size, config.hidden_size, config.num_heads
    if name == PROJECTION:
        return tensor.reshape(len(tensor), -1, P, P).permute(2, 3, 1, 0)
    if "norm" in name or name in ("embedding.x_class", POSITIONS):
        return tensor
    if name.endswith("bias"):
        return tensor.reshape(heads, -1) if "U_qkv" in name else tensor
    if "U_qkv" in name:
        return tensor.T.reshape(D, heads, -1)
    return tensor.T.reshape(heads, -1, D) if "U_msa" in name else tensor.T


TORCHVISION = ViTLayout(
    "torchvision",
    block="encoder.layers.encoder_layer_{layer}.",
    names={
        "embedding.x_class": "class_token",
        POSITIONS: "encoder.pos_embedding",
        "embedding.E": "conv_proj.{kind}",
        "norm1": "ln_1.{kind}",
        "msa.U_qkv": "self_attention.in_proj_{kind}",
        "msa.U_msa": "self_attention.out_proj.{kind}",
        "norm2": "ln_2.{kind}",
        "mlp.0": "mlp.0.{kind}",
        "mlp.3": "mlp.3.{kind}",
        "norm": "encoder.ln.{kind}",
        "head": "heads.head.{kind}",
    },
    hidden_layer="heads.pre_logits.",
    resampling=INTERPOLATE_EMBEDDINGS,
    from_source=_from_convolution,
    to_source=_to_convolution,
)
"""torchvision 0.29, `VisionTransformer.state_dict`."""

TIMM = ViTLayout(
    "timm",
    block="blocks.{layer}.",
    names={
        "embedding.x_class": "cls_token",
        POSITIONS: "pos_embed",
        "embedding.E": "patch_embed.proj.{kind}",
        "norm1": "norm1.{kind}",
        "msa.U_qkv": "attn.qkv.{kind}",
        "msa.U_msa": "attn.proj.{kind}",
        "norm2": "norm2.{kind}",
        "mlp.0": "mlp.fc1.{kind}",
        "mlp.3": "mlp.fc2.{kind}",
        "norm": "norm.{kind}",
        "head": "head.{kind}",
    },
    hidden_layer="pre_logits.",
    resampling=RESAMPLE_ABS_POS_EMBED,
    from_source=_from_convolution,
    to_source=_to_convolution,
)
"""timm 1.0, `VisionTransformer.state_dict`; it had a hidden layer before version 0.6."""

TRANSFORMERS = ViTLayout(
    "transformers",
    block="vit.encoder.layer.{layer}.",
    names={
        "embedding.x_class": "vit.embeddings.cls_token",
        POSITIONS: "vit.embeddings.position_embeddings",
        "embedding.E": "vit.embeddings.patch_embeddings.projection.{kind}",
        "norm1": "layernorm_before.{kind}",
        "msa.U_qkv": "attention.attention.{qkv}.{kind}",
        "msa.U_msa": "attention.output.dense.{kind}",
        "norm2": "layernorm_after.{kind}",
        "mlp.0": "intermediate.dense.{kind}",
        "mlp.3": "output.dense.{kind}",
        "norm": "vit.layernorm.{kind}",
        "head": "classifier.{kind}",
    },
    hidden_layer="vit.pooler.",
    resampling=INTERPOLATE_POS_ENCODING,
    from_source=_from_convolution,
    to_source=_to_convolution,
)
"""transformers 5.23: the names in a `ViTForImageClassification`'s files, not of its modules."""

DINOV2 = replace(
    TRANSFORMERS,
    library="transformers' DINOv2",
    block="encoder.layer.{layer}.",
    names={part: name.removeprefix("vit.") for part, name in TRANSFORMERS.names.items()}
    | {
        "norm1": "norm1.{kind}",
        "norm2": "norm2.{kind}",
        "mlp.0": "mlp.fc1.{kind}",
        "mlp.3": "mlp.fc2.{kind}",
    },
    hidden_layer=None,
)
"""transformers 5.23: the names in a `Dinov2Model`'s files, without LayerScale."""

GOOGLE = ViTLayout(
    "google",
    block="Transformer/encoderblock_{layer}/",
    names={
        "embedding.x_class": "cls",
        POSITIONS: "Transformer/posembed_input/pos_embedding",
        "embedding.E": "embedding/{kernel}",
        "norm1": "LayerNorm_0/{scale}",
        "msa.U_qkv": "MultiHeadDotProductAttention_1/{qkv}/{kernel}",
        "msa.U_msa": "MultiHeadDotProductAttention_1/out/{kernel}",
        "norm2": "LayerNorm_2/{scale}",
        "mlp.0": "MlpBlock_3/Dense_0/{kernel}",
        "mlp.3": "MlpBlock_3/Dense_1/{kernel}",
        "norm": "Transformer/encoder_norm/{scale}",
        "head": "head/{kernel}",
    },
    hidden_layer="pre_logits/",
    resampling=ZOOM,
    from_source=_from_flax,
    to_source=_to_flax,
)
"""The .npz files of google-research/vision_transformer (vit_jax/models_vit.py, checkpoint.py): the
paper's and those of "How to train your ViT?" (AugReg, arXiv 2106.10270).

Departs from the authors' code: flax's GELU is the tanh approximation, ours the exact function, as
in every port of these weights to PyTorch (timm, transformers).
"""

FOODVISION_VIT = ViTLayout(
    "foodvision",
    block="blocks.{layer}.",
    names={part: f"{part}.{{kind}}" for part in TIMM.names}
    | {name: name for name in ("embedding.x_class", POSITIONS)},
    hidden_layer=None,
    resampling=RESAMPLE_ABS_POS_EMBED,
    from_source=lambda name, tensor: tensor,
    to_source=lambda name, tensor, config: tensor,
)
"""`ViT.state_dict`, for what transformers cannot express."""

VIT_LAYOUTS = (TORCHVISION, TIMM, TRANSFORMERS, DINOV2, GOOGLE, FOODVISION_VIT)
