"""The one way to a pretrained network: a source's name in, a network and its `ImageSpec` out.

A single file does not describe itself: its tensors' names tell which library wrote it, their
shapes the network's sizes. Images and classes come from the config.json beside it, from torchvision
if it published the file, or else are assumed, which is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.text import is_hub_id
from foodvision.weights import from_dinov2, from_timm, from_torchvision
from foodvision.weights.box import path_of
from foodvision.weights.checkpoint import Checkpoint, Pretrained
from foodvision.weights.from_repository import read_described, read_repository
from foodvision.weights.from_transformers import full_names
from foodvision.weights.layouts import (
    DINOV2,
    FOODVISION_VIT,
    GOOGLE,
    PROJECTION,
    TIMM,
    TRANSFORMERS,
    VIT_LAYOUTS,
    ViTLayout,
)
from foodvision.weights.positions import INTERPOLATE_POS_ENCODING
from foodvision.weights.repository import CONFIG, WEIGHTS, find_repository, read_json
from foodvision.weights.sizes import vit_config
from foodvision.weights.tensors import SUFFIXES, read_tensors

_logger = logging.getLogger(__name__)


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
    """Read a pretrained Vision Transformer, or another classifier of torchvision or timm.

    Args:
        source: one of

            - ``torchvision:vit_b_16/IMAGENET1K_SWAG_E2E_V1`` or
              ``torchvision:efficientnet_b2/IMAGENET1K_V1``: torchvision's, from torch's cache or
              the web; or such a file under its published name;
            - ``box``, the classifier that ships with foodvision;
            - ``timm:vit_base_patch16_224.augreg_in21k_ft_in1k``: the Hub repository ``timm/NAME``;
              a network other than the paper's needs timm itself (``foodvision[timm]``);
            - ``hub:OWNER/NAME``: a repository of transformers, timm or foodvision;
            - such a repository's folder;
            - ``FILE.npz``, as the paper's authors publish them; ``FILE.safetensors`` or
              ``FILE.pth`` of torchvision, timm or DINOv2's authors, or of transformers beside its
              config.json.

    Raises:
        MissingExtraError: if timm is needed and is not installed.
        ModelError: if the source does not exist or holds another kind of network.

    """
    kind, _, name = source.partition(":")
    if kind == "torchvision":
        weights = from_torchvision.find_weights(name)
        return _read_file(from_torchvision.fetch_weights(weights), weights)
    if kind == "timm":
        if "." not in name:
            raise ModelError("weights of timm have a tag, as in vit_base_patch16_224.augreg_in21k")
        return read_repository(find_repository(f"timm/{name}"))
    if kind == "hub":
        return read_repository(find_repository(name))
    path = path_of(source)
    if path.is_dir():
        return read_repository(path)
    if not path.exists():
        raise ModelError(_missing(source))
    if path.suffix not in SUFFIXES:
        raise ModelError(f"a file of weights ends in {', '.join(SUFFIXES)}")
    return _read_file(path)


def _missing(source: str) -> str:
    """What to say of a path that does not exist, or of a misspelt name."""
    missing = "no such file or folder"
    if is_hub_id(source) and Path(source).suffix not in SUFFIXES:
        return f"{missing}; a repository on the Hub is hub:{source}"
    if "/" in source or Path(source).suffix in SUFFIXES:
        return missing
    return f"{missing}; other weights are torchvision:NETWORK/WEIGHTS, timm:NAME and hub:OWNER/NAME"


def _read_file(path: Path, published: WeightsEnum | None = None) -> Checkpoint:
    """A file with one of the `SUFFIXES`; `published` is what torchvision calls it, if known."""
    if path.name == WEIGHTS and (path.parent / CONFIG).exists():
        return read_repository(path.parent)
    published = published or from_torchvision.weights_of_file(path.name)
    tensors = read_tensors(path)
    if published is not None and not from_torchvision.network_name(published).startswith("vit_"):
        return from_torchvision.cnn_checkpoint(published, tensors)
    layout, tensors = _recognise(tensors)
    described = (path.parent / CONFIG).exists()
    if layout in (TRANSFORMERS, DINOV2, FOODVISION_VIT) or (layout is TIMM and described):
        if not described:
            raise ModelError(f"there is no {CONFIG} beside it, which describes the network")
        return read_described(path.parent, read_json(path.parent / CONFIG), tensors)
    dinov2 = layout is TIMM and from_dinov2.is_dinov2(tensors)  # as its authors name them
    if dinov2:
        tensors = from_dinov2.without_layer_scale(tensors)
    config = vit_config(layout, tensors)
    size = config.input_size[0]
    if published is not None:
        spec, classes = from_torchvision.image_spec(published), published.meta["categories"]
        return Checkpoint(layout, tensors, config, spec, tuple(classes))
    if layout is GOOGLE:
        # vit_jax/input_pipeline.py: squashed, bilinear, (x - 127.5) / 127.5
        return Checkpoint(layout, tensors, config, ImageSpec(size, "squash"))
    usual = from_timm if layout is TIMM else from_torchvision
    spec = from_dinov2.USUAL_SPEC if dinov2 else usual.usual_spec(size)
    library = "DINOv2" if dinov2 else layout.library
    _logger.info("%s does not describe its images; assuming %s's: %s", path, library, spec)
    if dinov2:
        # Resized as transformers does it; the authors' scale factor is a tenth of a patch off.
        layout = replace(layout, resampling=INTERPOLATE_POS_ENCODING)
    return Checkpoint(layout, tensors, config, spec, resize=dinov2)


def _recognise(tensors: Mapping[str, Tensor]) -> tuple[ViTLayout, dict[str, Tensor]]:
    """The layout, by the name of the patch projection E; the tensors by that layout's names.

    Raises:
        ModelError: if no supported library wrote it.

    """
    tensors = from_torchvision.current_vit_names(full_names(tensors))
    for layout in VIT_LAYOUTS:
        if layout.source_names(PROJECTION)[0] in tensors:
            return layout, tensors
    first = f"; it begins with {next(iter(tensors))}" if tensors else ""
    raise ModelError(
        "the weights are not a Vision Transformer of torchvision, timm, transformers or the "
        f"paper's authors{first}"
    )
