"""A model on the Hub, where `Classifier.load` finds it under OWNER/NAME."""

from __future__ import annotations

import tempfile
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData, constants

from foodvision.classifier.describe import finetune_command
from foodvision.classifier.info import ModelInfo
from foodvision.classifier.licence import Licence, licence_of
from foodvision.deploy.deploy import check_licence
from foodvision.deploy.folder import num_bytes
from foodvision.deploy.hub import Hub
from foodvision.deploy.model_files import copy_model
from foodvision.deploy.space_card import TAG
from foodvision.errors import ModelError
from foodvision.files.read import read_text
from foodvision.text import to_markdown
from foodvision.weights.repository import CARD, CONFIG, read_json


def push(
    model: Path, name: str, private: bool = False, non_commercial: bool = False
) -> tuple[str, int]:
    """Send a classifier, or an export, to a model repository, which is created if it is missing.

    Args:
        model: its folder.
        name: OWNER/NAME.
        private: visible to the owner alone.
        non_commercial: publish weights whose licence forbids commercial use.

    Returns:
        The repository's address, and its size in bytes.

    Raises:
        FoodvisionError: if the licence is not accepted.
        HubError: if the Hub refuses or cannot be reached; run again, it sends what is missing.
        ModelError: if there is no such model, or it has no classes yet.

    """
    if ModelInfo.from_config(read_json(model / CONFIG)).pretraining:
        raise ModelError(f"{model}: has no classes yet; fine-tune it: {finetune_command(model)}")
    licence = licence_of(model)
    check_licence(licence, non_commercial)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        copy_model(model, folder)
        (folder / CARD).write_text(
            _card(folder / CARD, model.name, name, licence), encoding="utf-8"
        )
        hub = Hub()
        hub.log_in(name.partition("/")[0])
        if not hub.find(name, "model"):
            hub.create(name, private)
        hub.upload(folder, name, "model")
        return f"{constants.ENDPOINT}/{name}", num_bytes(folder)


def _card(path: Path, before: str, name: str, licence: Licence) -> str:
    """The model's card, with its licence and its name on the Hub."""
    card = ModelCard(read_text(path) if path.exists() else "", ignore_metadata_errors=True)
    header = dict(card.data.to_dict())  # type: ignore[no-untyped-call]
    tags = list(dict.fromkeys([*header.get("tags", []), TAG]))
    header |= {"tags": tags, **({"license": licence.identifier} if licence.identifier else {})}
    body = card.text.replace("THIS_FOLDER", name).replace(f'"{before}"', f'"{name}"').strip()
    return (
        f"---\n{ModelCardData(**header).to_yaml()}\n---\n\n{body}\n\n"
        f"## Licence\n\n{to_markdown(licence.sentence)}\n"
    )
