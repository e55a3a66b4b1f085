"""DINOv2 (arXiv 2304.07193) as the paper's network: LayerScale folded into the layers before it.

DINOv2's ViT multiplies each channel of a block's two branches by a learned factor. The factor
follows a linear layer, so that its weights and bias, multiplied once, give the same output.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from torch import Tensor

from foodvision.errors import ModelError
from foodvision.images import ImageSpec

_logger = logging.getLogger(__name__)

TRAINED_SIZE = 518
"""Pixels at the end of its training, for which its position embeddings are."""

USUAL_SPEC = ImageSpec(224, "crop", 256, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""How its authors and transformers use it. Departs from timm, whose default is 518 px: over five
times as many patches, and not the size at which DINOv2's published figures were measured."""

_TIMM = {"ls1.gamma": "attn.proj", "ls2.gamma": "mlp.fc2"}
_TRANSFORMERS = {
    "layer_scale1.lambda1": "attention.output.dense",
    "layer_scale2.lambda1": "mlp.fc2",
}
"""The factors' names in a block, and the linear layer before each. The authors name them as timm
does."""

_IN_MEMORY = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}
"""transformers' names of modules as of 5.23, and those in its files."""

_UNUSED = ("mask_token", "embeddings.mask_token")
"""They replaced hidden patches while DINOv2 was trained."""

_REFUSED = {
    "register": "it has registers, tokens that the paper's network does not have",
    "mlp.w12": "its MLP is a SwiGLU, as in DINOv2 giant, not the paper's",
    "mlp.gate_proj": "its MLP is a SwiGLU, as in DINOv2 giant, not the paper's",
    "mlp.weights_in": "its MLP is a SwiGLU, as in DINOv2 giant, not the paper's",
}


def is_dinov2(tensors: Mapping[str, Tensor]) -> bool:
    """Whether there is LayerScale, which no other network that a `ViT` can be read from has."""
    return any(name.endswith((*_TIMM, *_TRANSFORMERS)) for name in tensors)


def without_layer_scale(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an equal network without LayerScale and without the mask token.

    Names are those in files of timm, the authors or a `Dinov2Model` of transformers. The head of
    a `Dinov2ForImageClassification` is dropped, which is logged: it reads the class token and the
    mean of all others, twice the features of a `ViT`.

    Raises:
        ModelError: if it has registers or a SwiGLU, or if a factor is missing or of another shape.

    """
    result = {}
    for name, tensor in tensors.items():
        if reason := next((why for part, why in _REFUSED.items() if part in name), None):
            raise ModelError(f"{name}: {reason}")
        name = re.sub(r"^(dinov2|vit)\.", "", name)
        for new, old in _IN_MEMORY.items():
            name = name.replace(new, old)
        result[name] = tensor
    for name in _UNUSED:
        result.pop(name, None)
    _fold(result)
    _drop_wide_head(result)
    return result


def _fold(tensors: dict[str, Tensor]) -> None:
    blocks = [n.removesuffix("norm1.weight") for n in tensors if n.endswith(".norm1.weight")]
    for block in blocks:
        factors = _TRANSFORMERS if block.startswith("encoder.") else _TIMM
        for factor_name, layer in factors.items():
            factor = _take(tensors, block + factor_name)
            for name in (f"{block}{layer}.weight", f"{block}{layer}.bias"):
                tensor = _take(tensors, name)
                if factor.shape != tensor.shape[:1]:
                    raise ModelError(
                        f"{block}{factor_name} has shape {tuple(factor.shape)}, not "
                        f"{tuple(tensor.shape[:1])}"
                    )
                tensors[name] = tensor * factor.reshape(-1, *[1] * (tensor.ndim - 1))


def _take(tensors: dict[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise ModelError(f"the weights lack {name}")
    return tensors.pop(name)


def _drop_wide_head(tensors: dict[str, Tensor]) -> None:
    norm, head = tensors.get("layernorm.bias"), tensors.get("classifier.weight")
    if norm is None or head is None or head.shape[-1:] != (2 * norm.numel(),):
        return
    _logger.warning(
        "classifier.weight: the head reads the class token and the mean of the patches, where a "
        "ViT's reads the class token alone; it is dropped"
    )
    del tensors["classifier.weight"]
    tensors.pop("classifier.bias", None)
