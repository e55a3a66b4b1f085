"""The one way to a pretrained network: a source's name in, a network and its `ImageSpec` out."""

from __future__ import annotations

from pathlib import Path

import torch

from foodvision.errors import ModelError
from foodvision.weights import from_torchvision
from foodvision.weights.checkpoint import Checkpoint, Pretrained
from foodvision.weights.from_file import read_file
from foodvision.weights.from_repository import read_repository
from foodvision.weights.repository import find_repository
from foodvision.weights.tensors import SUFFIXES


def load_pretrained(
    source: str, num_classes: int | None = None, image_size: int | tuple[int, int] | None = None
) -> Pretrained:
    """Load the network of a source, ready to be used or trained.

    Args:
        source: see `read_checkpoint`.
        num_classes: see `Checkpoint.build`.
        image_size: see `Checkpoint.build`.

    Raises:
        ModelError: saying in one line what is wrong with the source.

    """
    try:
        return read_checkpoint(source).build(num_classes, image_size)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error


@torch.inference_mode(False)
def read_checkpoint(source: str) -> Checkpoint:
    """Read a pretrained Vision Transformer or torchvision classifier.

    Args:
        source: one of

            - ``torchvision:vit_b_16/IMAGENET1K_SWAG_E2E_V1`` or
              ``torchvision:efficientnet_b2/IMAGENET1K_V1``: torchvision's, from torch's cache or
              the web; or such a file under its published name;
            - ``timm:vit_base_patch16_224.augreg_in21k_ft_in1k``: the Hub repository ``timm/NAME``;
            - ``hub:OWNER/NAME``: a repository of transformers, timm or foodvision;
            - such a repository's folder;
            - ``FILE.npz``, as the paper's authors publish them; ``FILE.safetensors`` or
              ``FILE.pth`` of torchvision or timm, or of transformers beside its config.json.

    Raises:
        ModelError: if the source does not exist or holds another kind of network.

    """
    kind, _, name = source.partition(":")
    if kind == "torchvision":
        weights = from_torchvision.find_weights(name)
        return read_file(from_torchvision.fetch_weights(weights), weights)
    if kind == "timm":
        if "." not in name:
            raise ModelError("weights of timm have a tag, as in vit_base_patch16_224.augreg_in21k")
        return read_repository(find_repository(f"timm/{name}"))
    if kind == "hub":
        return read_repository(find_repository(name))
    path = Path(source)
    if path.is_dir():
        return read_repository(path)
    if path.suffix not in SUFFIXES:
        raise ModelError(
            "weights are torchvision:NETWORK/WEIGHTS, timm:NAME, hub:OWNER/NAME, a model folder, "
            f"or a file that ends in {', '.join(SUFFIXES)}"
        )
    return read_file(path)
