"""The licence of pretrained weights, where their publisher wrote it beside them."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import ModelCard, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from foodvision.errors import ModelError
from foodvision.files.read import read_text
from foodvision.weights import from_torchvision
from foodvision.weights.box import path_of
from foodvision.weights.repository import CARD, CONFIG, read_json


def find_licence(source: str) -> str | None:
    """The name or the address of the licence; None if nothing here says it.

    torchvision names it in the description of its weights (SWAG's alone, as of 0.29), timm in
    config.json, and other repositories in the header of their README.md. Nothing is downloaded: of
    a repository on the Hub, what is in the cache is read.

    Args:
        source: see `foodvision.weights.source.read_checkpoint`.

    Raises:
        ModelError: if torchvision has no such weights, or the name is not valid on the Hub.

    """
    kind, _, name = source.partition(":")
    if kind == "torchvision":
        return from_torchvision.find_weights(name).meta.get("license")
    folder = folder_of(source)
    if folder is None:
        return None
    try:
        licence = read_json(folder / CONFIG).get("pretrained_cfg", {}).get("license")
    except (ModelError, AttributeError):  # no such file, or one that is not a repository's
        licence = None
    return licence if isinstance(licence, str) else _of_card(folder / CARD)


def folder_of(source: str) -> Path | None:
    """The folder of a source's files on this machine; None if they are in none of their own.

    Args:
        source: see `foodvision.weights.source.read_checkpoint`.

    Raises:
        ModelError: if the name is not valid on the Hub.

    """
    kind, _, name = source.partition(":")
    if kind == "torchvision":
        return None
    if kind in ("timm", "hub"):
        try:
            cached = try_to_load_from_cache(f"timm/{name}" if kind == "timm" else name, CONFIG)
        except HFValidationError as error:
            raise ModelError(f"{name} is not a repository name (OWNER/NAME)") from error
        return Path(cached).parent if isinstance(cached, str) else None
    # os.path, because pathlib raises for a name that is too long for a file.
    path = path_of(source)
    return path if os.path.isdir(path) else path.parent  # noqa: PTH112


def _of_card(path: Path) -> str | None:
    try:
        licence = getattr(ModelCard(read_text(path)).data, "license", None)
    except Exception:  # no card, or a damaged header: the YAML parser has errors of its own
        return None
    return licence if isinstance(licence, str) else None
