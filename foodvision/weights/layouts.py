"""How each library names and shapes the tensors of a Vision Transformer.

A checkpoint's tensors go in, the state of our `ViT` comes out, and the other way round. Every
tensor is accounted for: what is missing, unknown or of another shape is an error that names it in
the library's own words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foodvision.errors import ModelError
from foodvision.models.config import VARIANTS, NetworkConfig, ViTConfig
from foodvision.models.network import Network, build_network
from foodvision.weights.positions import (
    INTERPOLATE_EMBEDDINGS,
    INTERPOLATE_POS_ENCODING,
    RESAMPLE_ABS_POS_EMBED,
    ZOOM,
    Resampling,
    resize_positions,
)

HEAD = ("head.weight", "head.bias")

_OURS = re.compile(r"(?:blocks\.(?P<layer>\d+)\.)?(?P<part>.+?)(?:\.(?P<kind>weight|bias))?")
_HEADS = {variant.hidden_size: variant.num_heads for variant in VARIANTS.values()}


@dataclass(frozen=True)
class Format:
    """A library's way to write a Vision Transformer.

    Attributes:
        library: its name.
        block: how the names of a layer's tensors begin; ``{layer}`` counts from 0.
        names: each part of our network in the library's words, a layer's without `block`. A
            ``{kind}`` is weight or bias; flax says ``{kernel}`` or ``{scale}`` for a weight. Three
            names where q, k and v are three matrices.
        hidden_layer: how the names of the paper's hidden layer before the head begin, which our
            `ViT` does not have; None where it cannot be.
        resampling: how the library resizes position embeddings.
        to_ours: from the library's layout of a tensor to ours, given our name.
        to_theirs: and back.

    """

    library: str
    block: str
    names: Mapping[str, str | tuple[str, ...]]
    hidden_layer: str | None
    resampling: Resampling
    to_ours: Callable[[str, Tensor], Tensor]
    to_theirs: Callable[[str, Tensor, ViTConfig], Tensor]

    def theirs(self, ours: str) -> tuple[str, ...]:
        """The library's name of a tensor of ours; three where q, k and v are apart."""
        match = _OURS.fullmatch(ours)
        assert match
        layer, part, kind = match["layer"], match["part"], match["kind"]
        weight = kind == "weight"
        names = self.names[part]
        return tuple(
            ("" if layer is None else self.block.format(layer=layer))
            + name.format(
                kind=kind,
                kernel="kernel" if weight else "bias",
                scale="scale" if weight else "bias",
            )
            for name in ((names,) if isinstance(names, str) else names)
        )

    def write(self, state: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
        """The state of a `ViT` as the library would save it."""
        return {
            name: self.to_theirs(ours, part, config).contiguous()
            for ours, tensor in state.items()
            for names in [self.theirs(ours)]
            for name, part in zip(names, tensor.chunk(len(names)), strict=True)
        }

    def read(self, tensors: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
        """The state of a `ViT` of these sizes, from what the library saved.

        Raises:
            ModelError: naming a tensor that is missing, unknown or of another shape.

        """
        state = empty_network(config).state_dict()
        check_tensors(tensors, self.write(state, config), "a ViT")
        for ours in state:
            parts = [self.to_ours(ours, tensors[name]) for name in self.theirs(ours)]
            state[ours] = (parts[0] if len(parts) == 1 else torch.cat(parts)).contiguous()
        return state

    def resize(self, state: dict[str, Tensor], old: ViTConfig, new: ViTConfig) -> None:
        """Make the state of a `ViT` that of another resolution's, as the library does it."""
        state["embedding.E_pos"] = resize_positions(
            state["embedding.E_pos"], old.grid, new.grid, self.resampling
        )

    def sizes(self, tensors: Mapping[str, Tensor]) -> ViTConfig:
        """A network's sizes, as far as shapes tell them, for square images.

        Shapes say how many heads there are in flax alone; else Table 1 does.

        Raises:
            ModelError: if they tell no sizes of a network.

        """

        def count(ours: str) -> int:
            return tensors[self.theirs(ours)[0]].numel()

        try:
            D = count("norm.bias")
            N = count("embedding.E_pos") // D - 1
            P = math.isqrt(count("embedding.E.weight") // (3 * D))
            mlp_size = count("blocks.0.mlp.0.bias")
            query = tensors[self.theirs("blocks.0.msa.U_qkv.weight")[0]]
        except KeyError as error:
            raise ModelError(f"the weights lack {error.args[0]}") from error
        except ZeroDivisionError as error:
            raise ModelError(f"{self.theirs('norm.bias')[0]} is empty") from error
        num_layers = 1
        while self.theirs(f"blocks.{num_layers}.norm1.weight")[0] in tensors:
            num_layers += 1
        heads = query.shape[1] if query.ndim == 3 else _HEADS.get(D)
        if heads is None:
            raise ModelError(
                f"hidden size {D} is in no row of Table 1 (vit_{', vit_'.join(VARIANTS)}), so that "
                "nothing says how many heads there are"
            )
        side = math.isqrt(max(0, N))
        if side**2 != N or not N:
            name = self.theirs("embedding.E_pos")[0]
            raise ModelError(f"{name}: {N + 1} positions are no square grid and a class token")
        try:
            return ViTConfig(
                image_size=side * P,
                patch_size=P,
                num_layers=num_layers,
                hidden_size=D,
                mlp_size=mlp_size,
                num_heads=heads,
                num_classes=count("head.bias") if self.theirs("head.bias")[0] in tensors else 1,
            )
        except (ValueError, ZeroDivisionError) as error:
            raise ModelError(f"the shapes of its weights are no ViT's ({error})") from error


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], network: str
) -> None:
    """Make sure that they are those of the network, in their names, shapes and kind of number.

    Raises:
        ModelError: naming a tensor that is missing, unknown or another one.

    """
    if missing := expected.keys() - tensors.keys():
        raise ModelError(f"the weights lack {min(missing)}")
    if unknown := tensors.keys() - expected.keys():
        raise ModelError(f"the weights hold what {network} has not: {min(unknown)}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise ModelError(
                f"{name} is of shape {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
            )
        if tensors[name].dtype != tensor.dtype:
            raise ModelError(f"{name} holds {tensors[name].dtype}, not {tensor.dtype}")


def empty_network(config: NetworkConfig) -> Network:
    """See `build_network`.

    Raises:
        ModelError: if there can be no such network.

    """
    try:
        return build_network(config, empty=True)
    except ValueError as error:
        raise ModelError(str(error)) from error


def recognise(tensors: Mapping[str, Tensor]) -> tuple[Format, dict[str, Tensor]]:
    """Whose checkpoint it is, by the name of its E; its tensors by today's names.

    Raises:
        ModelError: if it is none of a Vision Transformer that is known here.

    """
    if "embeddings.patch_embeddings.projection.weight" in tensors:
        # transformers' ViTModel, which is saved without the classifier around it
        tensors = {f"vit.{name}": tensor for name, tensor in tensors.items()}
    for known in FORMATS:
        if known.theirs("embedding.E.weight")[0] in tensors:
            if known is TORCHVISION:  # its published files are older than its names
                for old, new in (("linear_1", "0"), ("linear_2", "3")):
                    tensors = {
                        name.replace(f".mlp.{old}.", f".mlp.{new}."): tensor
                        for name, tensor in tensors.items()
                    }
            return known, dict(tensors)
    first = f"; it begins with {next(iter(tensors))}" if tensors else ""
    raise ModelError(
        "the weights are of no Vision Transformer that torchvision, timm, transformers or the "
        f"paper's authors have written{first}"
    )


def _from_convolution(ours: str, tensor: Tensor) -> Tensor:
    """E is the kernel of a convolution in every PyTorch library."""
    return tensor.flatten(1) if ours == "embedding.E.weight" else tensor


def _to_convolution(ours: str, tensor: Tensor, config: ViTConfig) -> Tensor:
    P = config.patch_size
    return tensor.reshape(len(tensor), -1, P, P) if ours == "embedding.E.weight" else tensor


def _from_flax(ours: str, tensor: Tensor) -> Tensor:
    """Kernels have their inputs first, and heads an axis of their own."""
    if ours == "embedding.E.weight":  # height, width, channels, D
        return tensor.permute(3, 2, 0, 1).flatten(1)
    if "norm" in ours or ours in ("embedding.x_class", "embedding.E_pos"):
        return tensor
    if ours.endswith("bias"):
        return tensor.flatten()
    return (tensor.flatten(0, 1) if "U_msa" in ours else tensor.flatten(1)).T


def _to_flax(ours: str, tensor: Tensor, config: ViTConfig) -> Tensor:
    P, D, heads = config.patch_size, config.hidden_size, config.num_heads
    if ours == "embedding.E.weight":
        return tensor.reshape(len(tensor), -1, P, P).permute(2, 3, 1, 0)
    if "norm" in ours or ours in ("embedding.x_class", "embedding.E_pos"):
        return tensor
    if ours.endswith("bias"):
        return tensor.reshape(heads, -1) if "U_qkv" in ours else tensor
    if "U_qkv" in ours:
        return tensor.T.reshape(D, heads, -1)
    return tensor.T.reshape(heads, -1, D) if "U_msa" in ours else tensor.T


TORCHVISION = Format(
    "torchvision",
    block="encoder.layers.encoder_layer_{layer}.",
    names={
        "embedding.x_class": "class_token",
        "embedding.E_pos": "encoder.pos_embedding",
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
    to_ours=_from_convolution,
    to_theirs=_to_convolution,
)
"""torchvision 0.29, `VisionTransformer.state_dict`."""

TIMM = Format(
    "timm",
    block="blocks.{layer}.",
    names={
        "embedding.x_class": "cls_token",
        "embedding.E_pos": "pos_embed",
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
    to_ours=_from_convolution,
    to_theirs=_to_convolution,
)
"""timm 1.0, `VisionTransformer.state_dict`; it had a hidden layer before version 0.6."""

TRANSFORMERS = Format(
    "transformers",
    block="vit.encoder.layer.{layer}.",
    names={
        "embedding.x_class": "vit.embeddings.cls_token",
        "embedding.E_pos": "vit.embeddings.position_embeddings",
        "embedding.E": "vit.embeddings.patch_embeddings.projection.{kind}",
        "norm1": "layernorm_before.{kind}",
        "msa.U_qkv": (
            "attention.attention.query.{kind}",
            "attention.attention.key.{kind}",
            "attention.attention.value.{kind}",
        ),
        "msa.U_msa": "attention.output.dense.{kind}",
        "norm2": "layernorm_after.{kind}",
        "mlp.0": "intermediate.dense.{kind}",
        "mlp.3": "output.dense.{kind}",
        "norm": "vit.layernorm.{kind}",
        "head": "classifier.{kind}",
    },
    hidden_layer="vit.pooler.",
    resampling=INTERPOLATE_POS_ENCODING,
    to_ours=_from_convolution,
    to_theirs=_to_convolution,
)
"""transformers 5.23: the names in a `ViTForImageClassification`'s files, not of its modules."""

GOOGLE = Format(
    "google",
    block="Transformer/encoderblock_{layer}/",
    names={
        "embedding.x_class": "cls",
        "embedding.E_pos": "Transformer/posembed_input/pos_embedding",
        "embedding.E": "embedding/{kernel}",
        "norm1": "LayerNorm_0/{scale}",
        "msa.U_qkv": (
            "MultiHeadDotProductAttention_1/query/{kernel}",
            "MultiHeadDotProductAttention_1/key/{kernel}",
            "MultiHeadDotProductAttention_1/value/{kernel}",
        ),
        "msa.U_msa": "MultiHeadDotProductAttention_1/out/{kernel}",
        "norm2": "LayerNorm_2/{scale}",
        "mlp.0": "MlpBlock_3/Dense_0/{kernel}",
        "mlp.3": "MlpBlock_3/Dense_1/{kernel}",
        "norm": "Transformer/encoder_norm/{scale}",
        "head": "head/{kernel}",
    },
    hidden_layer="pre_logits/",
    resampling=ZOOM,
    to_ours=_from_flax,
    to_theirs=_to_flax,
)
"""The .npz files of google-research/vision_transformer (vit_jax/models_vit.py, checkpoint.py): the
paper's and those of "How to train your ViT?" (AugReg, arXiv 2106.10270).

Departs from the authors' code: flax's GELU is the tanh approximation, ours the exact function, as
in every port of these weights to PyTorch (timm, transformers).
"""

OURS = Format(
    "foodvision",
    block="blocks.{layer}.",
    names={part: f"{part}.{{kind}}" for part in TIMM.names}
    | {name: name for name in ("embedding.x_class", "embedding.E_pos")},
    hidden_layer=None,
    resampling=RESAMPLE_ABS_POS_EMBED,
    to_ours=lambda ours, tensor: tensor,
    to_theirs=lambda ours, tensor, config: tensor,
)
"""`ViT.state_dict`: what transformers cannot express is saved so."""

FORMATS = (TORCHVISION, TIMM, TRANSFORMERS, GOOGLE, OURS)
