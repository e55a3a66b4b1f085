"""torchvision's published weights: their names, files, images, classes and tensors.

CNNs become a `Checkpoint` here; Vision Transformers in `foodvision.weights.source`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import torch
import torchvision
from torch import Tensor
from torchvision.models import ViT_B_16_Weights, WeightsEnum

from foodvision.errors import DataError, ModelError
from foodvision.files.download import RemoteFile, fetch
from foodvision.images import ImageSpec
from foodvision.models.library import network_names
from foodvision.models.library_config import LibraryConfig
from foodvision.weights.checkpoint import Checkpoint
from foodvision.weights.library_layout import LIBRARY_CLASSIFIER


def find_weights(name: str) -> WeightsEnum:
    """Find weights by a name like ``vit_b_16/IMAGENET1K_SWAG_E2E_V1``.

    Raises:
        ModelError: listing the network's weights, or the nearest names if there is no such network.

    """
    published = {weight_name(weights): weights for weights in published_weights()}
    if name in published:
        return published[name]
    network = name.partition("/")[0]
    if own := [known for known in published if known.startswith(f"{network}/")]:
        raise ModelError(f"torchvision has {', '.join(own)}")
    nearest = get_close_matches(name, published, n=3, cutoff=0)
    raise ModelError(
        f"torchvision has no network {network!r} that can be used here; the nearest weights are "
        + ", ".join(nearest)
    )


def published_weights() -> list[WeightsEnum]:
    """The weights of torchvision's Vision Transformers and of every `LibraryNetwork`."""
    vits = torchvision.models.list_models(torchvision.models, include="vit_*")
    return [
        weights
        for network in (*vits, *network_names())
        for weights in torchvision.models.get_model_weights(network)
        if weights.meta["categories"]  # VGG-16 has weights with no classifier too
    ]


def weight_name(weights: WeightsEnum) -> str:
    """Network and weights, as in ``vit_b_16/IMAGENET1K_V1``."""
    return f"{network_name(weights)}/{weights.name}"


def network_name(weights: WeightsEnum) -> str:
    """The network the weights belong to: ``vit_b_16``, ``efficientnet_b2``."""
    return type(weights).__name__.removesuffix("_Weights").lower()


def remote_file(weights: WeightsEnum) -> RemoteFile:
    """The file's address and check; its name ends with the first digits of its SHA-256."""
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
    """The verified file in torch's own cache (`torch.hub.get_dir`), downloaded if it is missing.

    Raises:
        ModelError: giving the file's address, size and hash, and where to put it.

    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return fetch(remote_file(weights), folder)
    except DataError as error:
        raise ModelError(str(error)) from error


def weights_of_file(name: str) -> WeightsEnum | None:
    """The weights published under this file name; None if there are none."""
    for weights in published_weights():
        if remote_file(weights).name == name:
            return weights
    return None


def image_spec(weights: WeightsEnum) -> ImageSpec:
    """The evaluation transform published with the weights."""
    transform = weights.transforms()
    return ImageSpec(
        transform.crop_size[0],
        "crop",
        transform.resize_size[0],
        transform.interpolation.value,
        tuple(transform.mean),
        tuple(transform.std),
    )


def usual_spec(size: int) -> ImageSpec:
    """What torchvision's Vision Transformers use unless their weights say otherwise."""
    return image_spec(ViT_B_16_Weights.IMAGENET1K_V1).at(size)


def cnn_checkpoint(weights: WeightsEnum, tensors: Mapping[str, Tensor]) -> Checkpoint:
    """Published weights of a `LibraryNetwork`."""
    spec, classes = image_spec(weights), tuple(weights.meta["categories"])
    config = LibraryConfig(network_name(weights), spec.size, len(classes))
    tensors = current_tensors(config.name, tensors)
    return Checkpoint(LIBRARY_CLASSIFIER, tensors, config, spec, classes)


def current_vit_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Vision Transformer's tensors as torchvision names them now; published files are older."""
    return {
        name.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3."): tensor
        for name, tensor in tensors.items()
    }


def current_tensors(network: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Another network's tensors as torchvision names them now; its file can be years older."""
    tensors = {
        # densenet.py, _load_state_dict
        re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): tensor
        for name, tensor in tensors.items()
    }
    for name in [name for name in tensors if name.endswith(".running_mean")]:
        # torch/nn/modules/batchnorm.py, _load_from_state_dict
        counter = name.removesuffix("running_mean") + "num_batches_tracked"
        tensors.setdefault(counter, torch.tensor(0, device="cpu"))
    if network == "maxvit_t":  # its last layer has no bias, our head has one
        tensors["classifier.5.bias"] = tensors["classifier.5.weight"].new_zeros(1000)
    return tensors
