"""The files of a model repository, written one after the other, each whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from foodvision.files.atomic import replacing, write_json
from foodvision.images.spec import ImageSpec
from foodvision.weights.repository import CARD, CONFIG, PREPROCESSOR, WEIGHTS


def write_model(
    folder: Path, config: dict[str, Any], tensors: Mapping[str, Tensor], spec: ImageSpec, card: str
) -> None:
    """Write weights, config.json, preprocessor_config.json and the model card.

    Args:
        folder: exists.
        config: the content of config.json.
        tensors: on the CPU, by the names that the config's ``model_type`` has for them.
        spec: how images are prepared.
        card: the content of README.md.

    """
    with replacing(folder / WEIGHTS) as path:
        path.touch()  # with the permissions of its siblings; save_file allows the owner alone
        mode = path.stat().st_mode
        save_file(dict(tensors), path, metadata={"format": "pt"})
        path.chmod(mode)
    write_json(folder / CONFIG, config)
    write_json(folder / PREPROCESSOR, spec.to_preprocessor_config())
    with replacing(folder / CARD) as path:
        path.write_text(card, encoding="utf-8")
