"""A captioning model on disk: a folder that transformers wrote, here or in the Hub's cache.

Salesforce's two models are pinned to a commit. Everything that is wrong with a folder is found
here, without torch.
"""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import NamedTuple

from foodvision.captioning import BASE, LARGE
from foodvision.errors import ModelError
from foodvision.files.digest import sha256_of_file, sha256_of_files
from foodvision.weights.repository import (
    CONFIG,
    PREPROCESSOR,
    WEIGHTS,
    find_repository,
    read_json,
)

PICKLE = "pytorch_model.bin"


class Published(NamedTuple):
    """One of Salesforce's models as it is on the Hub."""

    revision: str
    weights: str
    num_bytes: int


# Looked up without access to the Hub: several public projects record these commits as the Hub's
# `main` with these files and sizes (they also name the snapshots in the Hub's cache).
PUBLISHED = {
    BASE: Published("82a37760796d32b1411fe092ab5d4e227313294b", PICKLE, 989_820_849),
    LARGE: Published("353689b859fcf0523410b1806dace5fb46ecdf41", WEIGHTS, 1_879_014_680),
}

BASE_SHA256 = "d6638651a5526cc2ede56f2b5104d6851b0755816d220e5e046870430180c767"
"""Of the one pickle that is read, from the same records: the base model has no other weights."""

_TEXT = (
    *("processor_config.json", PREPROCESSOR, "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "vocab.txt"),
)


class CaptionRepository(NamedTuple):
    """A folder that can be loaded, and its file of weights."""

    folder: Path
    weights: Path

    def sha256(self) -> str:
        """Over the files that decide what its captions are."""
        names = (CONFIG, self.weights.name, *_TEXT)
        return sha256_of_files(self.folder, [self.folder / name for name in names])


def find_captioner(model: str | Path) -> CaptionRepository:
    """The files of a captioning model, downloaded from the Hub if they are not in its cache.

    Args:
        model: a folder, or a Hub id; `BASE` and `LARGE` are taken at the pinned commit.

    Raises:
        ModelError: saying what is wrong with the folder, or how to get the files.

    """
    try:
        if Path(model).is_dir():
            folder = Path(model)
        else:
            known = PUBLISHED.get(str(model), Published("main", WEIGHTS, 0))
            folder = find_repository(str(model), (CONFIG, known.weights), _TEXT, known.revision)
        kind = read_json(folder / CONFIG).get("model_type")
        if kind != "blip":
            raise ModelError(f"{CONFIG}: model_type {reprlib.repr(kind)} is not a BLIP captioner")
        return CaptionRepository(folder, _weights_in(folder))
    except ModelError as error:
        raise ModelError(f"{model}: {error}") from error


def _weights_in(folder: Path) -> Path:
    if (folder / WEIGHTS).exists():
        return folder / WEIGHTS
    pickle = folder / PICKLE
    if not pickle.is_file():
        raise ModelError(f"it has no {WEIGHTS}")
    # By its size first: hashing takes a second.
    if pickle.stat().st_size == PUBLISHED[BASE].num_bytes and sha256_of_file(pickle) == BASE_SHA256:
        return pickle
    raise ModelError(
        f"its {PICKLE} is a pickle, which can run code, and not the one that Salesforce published; "
        f'convert it where you trust it: python -c "from transformers import '
        "BlipForConditionalGeneration as B; B.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
    )
