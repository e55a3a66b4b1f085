"""What a model is, in words, from its config.json and without torch."""

from __future__ import annotations

import logging
import math
import shlex
from pathlib import Path

from safetensors import SafetensorError, safe_open

from foodvision.classifier.info import KEY, Export, ModelInfo, is_export
from foodvision.errors import ModelError
from foodvision.text import list_names, printable
from foodvision.weights import from_timm
from foodvision.weights.box import BOX, GRAPHS
from foodvision.weights.repository import (
    CONFIG,
    DAMAGES,
    UNSURE,
    WEIGHTS,
    check_distinct,
    check_safetensors,
    class_names,
    explain,
    find_model,
    image_spec,
    network_config,
    read_json,
)

log = logging.getLogger(__name__)


def finetune_command(model: str | Path) -> str:
    """What makes a classifier of a pretrained network: a folder, or a Hub id."""
    weights = str(model) if Path(model).exists() else f"hub:{model}"
    return f"foodvision train DATA --recipe finetune --weights {shlex.quote(weights)}"


def describe(model: str | Path) -> str:
    """What a model is, as lines to read.

    Args:
        model: a model folder or a Hub id.

    Raises:
        ModelError: if there is no such model.

    """
    if model == BOX and Path(BOX).is_dir():
        log.warning("box is the model that ships with foodvision; the folder is ./box")
    try:
        folder = find_model(model)
        config = read_json(folder / CONFIG)
        info = ModelInfo.from_config(config)
        graphs = read_json(GRAPHS / CONFIG) if model == BOX else config
        exported = Export.from_config(graphs) if is_export(graphs) else None
        if "architecture" in config:  # timm's
            network, spec = f"timm's {config['architecture']}", from_timm.image_spec(config)
            classes = from_timm.class_names(config) or ()
        else:
            spec, classes = image_spec(folder, config), class_names(config) or ()
            network = network_config(config, len(classes) or 1).description
        check_distinct(classes)
        parameters = info.parameters or _count_parameters(folder / WEIGHTS)
    except ModelError as error:
        raise ModelError(f"{model}: {error}") from error
    except DAMAGES as error:
        raise ModelError(f"{model}: {CONFIG}: {explain(error)}") from error
    named = f"none yet: {finetune_command(model)}"
    if classes:
        named = f"{len(classes)}: {list_names(classes)}"
    lines = [
        f"network    {network}; {parameters:,} parameters",
        f"input      {spec.height} × {spec.width} px, {spec.resize_mode}, {spec.interpolation}"
        + (", large JPEGs decoded at a smaller scale" if spec.reduced_decode else ""),
        f"classes    {named}",
    ]
    if info.data:
        lines.append(f"training   {info.data.train:,} images of {info.data.name}, {info.training}")
    if measured := info.metrics:
        low, high = measured.accuracy_ci95
        lines.append(
            f"measured   on {measured.n:,} validation images: log loss {measured.log_loss:.4f}, "
            f"accuracy {measured.accuracy:.1%} ({low:.1%} to {high:.1%})"
        )
    if hidden := info.pretraining:
        lines.append(f"measured   on validation images: {hidden}")
    if scaled := info.calibration:
        lines.append(
            f"calibrated temperature {scaled.temperature:.3f}; before, the log loss was "
            f"{scaled.log_loss_before:.4f} and the ECE {scaled.ece_before:.3f}, now "
            f"{scaled.log_loss_after:.4f} and {scaled.ece_after:.3f}"
        )
    elif KEY in config and classes:
        lines.append("calibrated no")
    if KEY in config and classes:
        calibrated = (folder / UNSURE).is_file() or (exported and exported.limits)
        says = "says" if calibrated else "does not say"
        lines.append(f"unsure     {says} when it is not sure")
    if exported:
        lines.append(f"graphs     {', '.join(exported.runs)}")
    return "\n".join(map(printable, lines))


def _count_parameters(path: Path) -> int:
    """From the header of the file alone."""
    try:
        check_safetensors(path)
        with safe_open(path, framework="numpy") as tensors:
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelError(f"not a model folder: it has no {path.name}") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{path.name} is damaged ({error})") from error
