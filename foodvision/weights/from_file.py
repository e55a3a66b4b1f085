"""From a single file of weights to a `Checkpoint`.

The file says nothing about itself: its tensors' names tell which library wrote it, their shapes
the network's sizes. Images and classes come from the config.json beside it, from torchvision if
it published the file, or else are assumed, which is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from torchvision.models import WeightsEnum

from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.weights import from_timm, from_torchvision, from_transformers
from foodvision.weights.checkpoint import Checkpoint
from foodvision.weights.from_repository import read_described
from foodvision.weights.layouts import (
    FOODVISION_VIT,
    GOOGLE,
    TIMM,
    TRANSFORMERS,
    VIT_LAYOUTS,
    ViTLayout,
)
from foodvision.weights.repository import CONFIG, read_json
from foodvision.weights.sizes import vit_config
from foodvision.weights.tensors import read_tensors

_logger = logging.getLogger(__name__)


def read_file(path: Path, published: WeightsEnum | None = None) -> Checkpoint:
    """A ``.npz``, ``.safetensors`` or ``.pth`` file; see `read_checkpoint`.

    Args:
        path: the file.
        published: the torchvision weights that it holds; None to look its name up.

    Raises:
        ModelError: if it is not a checkpoint of a supported network.

    """
    published = published or from_torchvision.weights_of_file(path.name)
    tensors = read_tensors(path)
    if published is not None and not from_torchvision.network_name(published).startswith("vit_"):
        return from_torchvision.to_checkpoint(published, tensors)
    layout, tensors = recognise(tensors)
    described = (path.parent / CONFIG).exists()
    if layout in (TRANSFORMERS, FOODVISION_VIT) or (layout is TIMM and described):
        if not described:
            raise ModelError(f"there is no {CONFIG} beside it, which describes the network")
        return read_described(path.parent, read_json(path.parent / CONFIG), tensors)
    config = vit_config(layout, tensors)
    size = config.input_size[0]
    if published is not None:
        spec, classes = from_torchvision.image_spec(published), published.meta["categories"]
        return Checkpoint(layout, tensors, config, spec, tuple(classes))
    if layout is GOOGLE:
        # vit_jax/input_pipeline.py: squashed, bilinear, (x - 127.5) / 127.5
        return Checkpoint(layout, tensors, config, ImageSpec(size, "squash"))
    usual = from_timm if layout is TIMM else from_torchvision
    spec = usual.usual_spec(size)
    _logger.info("%s does not describe its images; assuming %s's: %s", path, layout.library, spec)
    return Checkpoint(layout, tensors, config, spec)


def recognise(tensors: Mapping[str, Tensor]) -> tuple[ViTLayout, dict[str, Tensor]]:
    """The layout, by the name of the patch projection E; the tensors by that layout's names.

    Raises:
        ModelError: if no supported library wrote it.

    """
    tensors = from_torchvision.current_vit_names(from_transformers.full_names(tensors))
    for layout in VIT_LAYOUTS:
        if layout.source_names("embedding.E.weight")[0] in tensors:
            return layout, tensors
    first = f"; it begins with {next(iter(tensors))}" if tensors else ""
    raise ModelError(
        "the weights are not a Vision Transformer of torchvision, timm, transformers or the "
        f"paper's authors{first}"
    )
