"""A model repository: a folder with config.json and model.safetensors, here or on the Hub.

transformers and timm write such folders, and so does `Classifier.save`. What config.json says about
the network, its images and its classes is read here, without torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from foodvision.errors import ModelError
from foodvision.images.spec import ImageSpec
from foodvision.models.config import LibraryConfig, NetworkConfig, ViTConfig
from foodvision.weights.from_transformers import from_transformers_config

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"


def find_repository(model: str) -> Path:
    """The folder of a Hub id ``OWNER/NAME`` in the Hub's own cache, downloaded if it is missing.

    Raises:
        ModelError: giving the files, their address and what to do with them.

    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model) or Path(model).exists():
        raise ModelError("no such model folder; train one, or give a Hub id OWNER/NAME")
    from huggingface_hub import constants, snapshot_download

    try:
        folder = Path(snapshot_download(model, allow_patterns=[CONFIG, WEIGHTS, PREPROCESSOR]))
    except Exception as error:  # the Hub's own, httpx's and the system's
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"no such folder, and it cannot be downloaded from the Hub ({reason}); where there is "
            f"a network, download {CONFIG}, {WEIGHTS} and, if there is one, {PREPROCESSOR} from "
            f"{constants.ENDPOINT}/{model} into a folder, and give that folder"
        ) from error
    _verify(folder / WEIGHTS)
    return folder


def _verify(path: Path) -> None:
    """The Hub's cache names a large file after its SHA-256 but checks only its size."""
    content = path.resolve()
    if not re.fullmatch(r"[0-9a-f]{64}", content.name):
        return
    with content.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != content.name:
        content.unlink()
        raise ModelError(
            f"{path.name} from the Hub is damaged (SHA-256 {found}, not {content.name}) and was "
            "removed; try again"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        ModelError: if the file is missing or does not hold one.

    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"not a model folder: it has no {path.name}") from error
    except (ValueError, OSError) as error:
        raise ModelError(f"{path.name} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} is not a JSON object")
    return content


def image_spec(folder: Path, config: dict[str, Any]) -> ImageSpec:
    """How images are prepared for a model that transformers or foodvision wrote.

    Raises:
        ModelError: if the description is missing or damaged.

    """
    ours = config.get("foodvision") or {}
    try:
        if "image_spec" in ours:
            return ImageSpec.from_dict(ours["image_spec"])
        return ImageSpec.from_preprocessor_config(read_json(folder / PREPROCESSOR))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"the description of its images is damaged ({error})") from error


def class_names(config: dict[str, Any]) -> tuple[str, ...] | None:
    """Class names in the order of the logits; None if config.json has none.

    Raises:
        ModelError: if they are not numbered 0, 1, 2, ...

    """
    if "id2label" not in config:
        return None
    names = config["id2label"]
    if not names or not isinstance(names, dict) or set(names) != set(map(str, range(len(names)))):
        raise ModelError(f"{CONFIG}: id2label must name the classes 0, 1, 2, ...")
    return tuple(str(names[str(i)]) for i in range(len(names)))


def network_config(config: dict[str, Any], num_classes: int) -> NetworkConfig:
    """The network that config.json describes, in transformers' format or ours.

    Args:
        config: the content of config.json.
        num_classes: K, which transformers' format does not state.

    Raises:
        ModelError: naming a value that is damaged or not supported.

    """
    model_type = config.get("model_type")
    if model_type in ("vit", "dinov2"):
        return from_transformers_config(config, num_classes)
    if model_type != "foodvision":
        reason = ": registers are tokens that the paper's network does not have"
        registers = str(model_type).endswith("with_registers")
        raise ModelError(
            f"{CONFIG}: model_type {model_type!r} is not supported{reason if registers else ''}"
        )
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config["network"].items()
        }
        return LibraryConfig(**values) if "name" in values else ViTConfig(**values)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"{CONFIG}: network is damaged ({error})") from error
