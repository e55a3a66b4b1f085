"""One way in for every pretrained network: a source's name in, network and ImageSpec out."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.models.config import TorchvisionConfig
from foodvision.weights import from_timm, from_torchvision
from foodvision.weights.checkpoint import Checkpoint, Pretrained
from foodvision.weights.from_repository import read_described, read_repository
from foodvision.weights.layouts import GOOGLE, OURS, TIMM, TRANSFORMERS, Format, recognise
from foodvision.weights.prefixes import torchvision_format
from foodvision.weights.repository import CONFIG, find_repository, read_json
from foodvision.weights.tensors import SUFFIXES, read_tensors

_logger = logging.getLogger(__name__)


def load_pretrained(
    source: str, num_classes: int | None = None, image_size: int | tuple[int, int] | None = None
) -> Pretrained:
    """The network of a source, ready to be used or trained on.

    Args:
        source: see `read_checkpoint`.
        num_classes: see `Checkpoint.build`.
        image_size: see `Checkpoint.build`.

    Raises:
        ModelError: one line that says what is wrong with the source.

    """
    try:
        return read_checkpoint(source).build(num_classes, image_size)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error


@torch.inference_mode(False)
def read_checkpoint(source: str) -> Checkpoint:
    """A Vision Transformer, or another network of torchvision's, that somebody has trained.

    Args:
        source: one of

            - ``torchvision:vit_b_16/IMAGENET1K_SWAG_E2E_V1`` or
              ``torchvision:efficientnet_b2/IMAGENET1K_V1``: torchvision's, from torch's cache or
              the web; or such a file, by the name it is published under;
            - ``timm:vit_base_patch16_224.augreg_in21k_ft_in1k``: the Hub repository ``timm/NAME``;
            - ``hub:OWNER/NAME``: a repository of transformers, timm or foodvision;
            - such a repository's folder;
            - ``FILE.npz``, as the paper's authors publish them; ``FILE.safetensors`` or
              ``FILE.pth`` of torchvision or timm, or of transformers beside its config.json.

    Raises:
        ModelError: if there is no such source, or it is not one of such a network.

    """
    kind, _, name = source.partition(":")
    if kind == "torchvision":
        weights = from_torchvision.find_weights(name)
        return _read_file(from_torchvision.fetch_weights(weights))
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
    return _read_file(path)


def _read_file(path: Path) -> Checkpoint:
    published = from_torchvision.weights_of_file(path.name)
    if published is not None and not from_torchvision.network_name(published).startswith("vit_"):
        return _torchvisions(published, read_tensors(path))
    format, tensors = recognise(read_tensors(path))
    described = (path.parent / CONFIG).exists()
    if format in (TRANSFORMERS, OURS) or (format is TIMM and described):
        if not described:
            raise ModelError(f"there is no {CONFIG} beside it that says what network it is")
        return read_described(path.parent, read_json(path.parent / CONFIG), tensors)
    network = format.sizes(tensors)
    size = network.input_size[0]
    if format is GOOGLE:
        # vit_jax/input_pipeline.py: squashed, bilinear, (x - 127.5) / 127.5
        return Checkpoint(format, tensors, network, ImageSpec(size, "squash"))
    if format is TIMM:
        return Checkpoint(
            format, tensors, network, _assumed(path, format, from_timm.usual_spec(size))
        )
    if published is None:
        spec = from_torchvision.image_spec(
            from_torchvision.find_weights("vit_b_16/IMAGENET1K_V1")
        ).at(size)
        return Checkpoint(format, tensors, network, _assumed(path, format, spec))
    spec, classes = from_torchvision.image_spec(published), from_torchvision.class_names(published)
    return Checkpoint(format, tensors, network, spec, classes)


def _torchvisions(published: WeightsEnum, tensors: dict[str, Tensor]) -> Checkpoint:
    name = from_torchvision.network_name(published)
    spec, classes = from_torchvision.image_spec(published), from_torchvision.class_names(published)
    config = TorchvisionConfig(name, spec.size, len(classes))
    tensors = from_torchvision.todays_tensors(name, tensors)
    return Checkpoint(torchvision_format(config), tensors, config, spec, classes)


def _assumed(path: Path, format: Format, spec: ImageSpec) -> ImageSpec:
    _logger.info(
        "%s does not describe its images; taken is what %s usually has: %s",
        *(path, format.library, spec),
    )
    return spec
