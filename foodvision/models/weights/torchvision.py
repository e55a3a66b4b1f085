"""torchvision's published weights: which there are, their file, their pictures and classes."""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torchvision
from torchvision.models import WeightsEnum

from foodvision.data.download import RemoteFile, fetch
from foodvision.errors import DataError, ModelError
from foodvision.images import ImageSpec


def find_weights(name: str) -> WeightsEnum:
    """The weights of a name like ``vit_b_16/IMAGENET1K_SWAG_E2E_V1``.

    Raises:
        ModelError: naming those that there are.

    """
    for weights in published_weights():
        if name == weight_name(weights):
            return weights
    names = ", ".join(weight_name(weights) for weights in published_weights())
    raise ModelError(f"torchvision has {names}")


def published_weights() -> list[WeightsEnum]:
    """Of all of torchvision's Vision Transformers."""
    models = torchvision.models.list_models(torchvision.models, include="vit_*")
    return [weights for model in models for weights in torchvision.models.get_model_weights(model)]


def weight_name(weights: WeightsEnum) -> str:
    """Network and weights, as in ``vit_b_16/IMAGENET1K_V1``."""
    return f"{type(weights).__name__.removesuffix('_Weights').lower()}/{weights.name}"


def remote_file(weights: WeightsEnum) -> RemoteFile:
    """Where the file is; its name ends in the beginning of its SHA-256."""
    digest = re.search(r"-([0-9a-f]{8,})\.pth$", weights.url)
    assert digest
    # The size is given in units of 2²⁰ bytes, to three decimals.
    return RemoteFile(
        weights.url,
        "SHA-256 prefix",
        digest[1],
        max_bytes=int((weights.meta["_file_size"] + 0.001) * 2**20),
    )


def fetch_weights(weights: WeightsEnum) -> Path:
    """The verified file in torch's own cache (`torch.hub.get_dir`), downloaded if it is not there.

    Raises:
        ModelError: saying which file is wanted, from where, how large, of which hash, and where to
            put it.

    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return fetch(remote_file(weights), folder)
    except DataError as error:
        raise ModelError(str(error)) from error


def weights_of_file(name: str) -> WeightsEnum | None:
    """The weights that are published in a file of this name, if any are."""
    for weights in published_weights():
        if remote_file(weights).name == name:
            return weights
    return None


def image_spec(weights: WeightsEnum) -> ImageSpec:
    """The evaluation transform that is published with the weights."""
    transform = weights.transforms()
    return ImageSpec(
        transform.crop_size[0],
        "crop",
        transform.resize_size[0],
        transform.interpolation.value,
        tuple(transform.mean),
        tuple(transform.std),
    )


def class_names(weights: WeightsEnum) -> tuple[str, ...]:
    """ImageNet's thousand."""
    return tuple(weights.meta["categories"])
