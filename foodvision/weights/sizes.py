"""A Vision Transformer's sizes, from the shapes of its tensors when no config.json has them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from foodvision.errors import ModelError
from foodvision.models.config import VARIANTS, ViTConfig
from foodvision.weights.layouts import POSITIONS, ViTLayout

_HEADS = {variant.hidden_size: variant.num_heads for variant in VARIANTS.values()}


def vit_config(layout: ViTLayout, tensors: Mapping[str, Tensor]) -> ViTConfig:
    """A `ViT`'s sizes from the shapes of its tensors, for square images.

    Only Flax's shapes tell the number of heads; for the other libraries Table 1 does.

    Raises:
        ModelError: if they are not the shapes of a `ViT`.

    """

    def count(name: str) -> int:
        return tensors[layout.source_names(name)[0]].numel()

    try:
        D = count("norm.bias")
        N = count(POSITIONS) // D - 1
        P = math.isqrt(count("embedding.E.weight") // (3 * D))
        mlp_size = count("blocks.0.mlp.0.bias")
        query = tensors[layout.source_names("blocks.0.msa.U_qkv.weight")[0]]
    except KeyError as error:
        raise ModelError(f"the weights lack {error.args[0]}") from error
    except ZeroDivisionError as error:
        raise ModelError(f"{layout.source_names('norm.bias')[0]} is empty") from error
    num_layers = 1
    while layout.source_names(f"blocks.{num_layers}.norm1.weight")[0] in tensors:
        num_layers += 1
    heads = query.shape[1] if query.ndim == 3 else _HEADS.get(D)
    if heads is None:
        raise ModelError(
            f"hidden size {D} is not in Table 1 (vit_{', vit_'.join(VARIANTS)}), so the number of "
            "heads is unknown"
        )
    side = math.isqrt(max(0, N))
    if side**2 != N or not N:
        name = layout.source_names(POSITIONS)[0]
        raise ModelError(f"{name}: {N + 1} positions are not a square grid and a class token")
    try:
        return ViTConfig(
            image_size=side * P,
            patch_size=P,
            num_layers=num_layers,
            hidden_size=D,
            mlp_size=mlp_size,
            num_heads=heads,
            num_classes=count("head.bias") if layout.source_names("head.bias")[0] in tensors else 1,
        )
    except (ValueError, ZeroDivisionError) as error:
        raise ModelError(f"its tensors do not have the shapes of a ViT ({error})") from error
