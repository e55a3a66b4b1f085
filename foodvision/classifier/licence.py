"""What the publishers of a model's pretrained weights allow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from foodvision.classifier.info import KEY
from foodvision.errors import ModelError
from foodvision.weights.licence import find_licence
from foodvision.weights.repository import CONFIG, read_json

_IDENTIFIERS = {
    *("mit", "apache-2.0", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
}
"""Of the Hub's list: those that are met among weights."""

_NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial|swag", re.IGNORECASE)

_MOST_RUNS = 100
"""That began with one another's weights."""


class Licence(NamedTuple):
    """Of the weights that a model began with."""

    source: str | None
    """Where they came from, without the folders of this machine; None if it began from scratch."""
    name: str | None
    """Name or address; None if their publisher states none."""

    @property
    def identifier(self) -> str | None:
        """In a card's header, from the Hub's list."""
        if self.name is None:
            return None
        if "swag" in self.name.lower():
            return "cc-by-nc-4.0"
        return name if (name := self.name.lower()) in _IDENTIFIERS else "other"

    @property
    def forbids_commerce(self) -> bool:
        """What is fine-tuned from such weights may not serve commerce either."""
        return bool(self.name and _NON_COMMERCIAL.search(self.name))

    @property
    def sentence(self) -> str:
        """For people."""
        if self.source is None:
            return "The network was trained from scratch."
        if self.name is None:
            stated = "their publisher states no licence beside them"
        else:
            stated = f"their licence is {self.name}"
        if self.forbids_commerce:
            stated += ", which forbids commercial use, and so for everything fine-tuned from them"
        return f"The network began with the weights {self.source}; {stated}."


def licence_of(folder: Path) -> Licence:
    """The licence of the weights that a model began with, through all runs in between.

    Args:
        folder: of a model, or of an export.

    Raises:
        ModelError: if it has no readable config.json.

    """
    config = read_json(folder / CONFIG)
    if KEY not in config:  # other people's: they are the weights
        return _named(str(folder))
    named = Licence(None, None)
    for _ in range(_MOST_RUNS):
        source = (config.get(KEY, {}).get("recipe") or {}).get("weights")
        if not isinstance(source, str):
            break
        named = _named(source)
        try:
            config = read_json(Path(source) / CONFIG)
        except ModelError:  # no run of this machine
            break
    return named


def without_folders(source: str) -> str:
    """The name of weights; what folders this machine has is nobody's business."""
    return Path(source).name if Path(source).is_absolute() else source


def _named(source: str) -> Licence:
    try:
        name = find_licence(source)
    except ModelError:  # weights that this torchvision does not know
        name = None
    if name is None and "swag" in source.lower():  # torchvision's file, given as a file
        name = "CC-BY-NC 4.0 (SWAG)"
    return Licence(without_folders(source), name)
