"""What the publishers of a model's pretrained weights allow."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from foodvision.classifier.info import KEY, ModelInfo
from foodvision.errors import ModelError
from foodvision.weights.box import path_of
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
    teachers: tuple[Licence, ...] = ()
    """Of the weights that its teachers learnt from."""

    @property
    def identifier(self) -> str | None:
        """In a card's header, from the Hub's list."""
        if self.forbids_commerce and not _forbids(self.name):  # its teacher's licence does
            return "cc-by-nc-4.0"
        if self.name is None:
            return None
        if "swag" in self.name.lower():
            return "cc-by-nc-4.0"
        return name if (name := self.name.lower()) in _IDENTIFIERS else "other"

    @property
    def forbids_commerce(self) -> bool:
        """What learns from such weights, as a start or a teacher, may not serve commerce either."""
        return any(_forbids(licence.name) for licence in (self, *self.teachers))

    @property
    def sentence(self) -> str:
        """For people."""
        if self.source is None:
            sentences = ["The network was trained from scratch."]
        else:
            sentences = [f"The network began with the weights {self.source}; {self._stated}."]
        sentences += [
            f"A teacher of it learnt from the weights {teacher.source}; {teacher._stated}."
            for teacher in self.teachers
        ]
        return " ".join(sentences)

    @property
    def _stated(self) -> str:
        if self.name is None:
            return "their publisher states no licence beside them"
        more = ", which forbids commercial use, and so for everything that learnt from them"
        return f"their licence is {self.name}{more if _forbids(self.name) else ''}"


def licence_of(folder: Path, hub_id: str | None = None) -> Licence:
    """The licence of the weights that a model began with, through all runs and teachers in between.

    Args:
        folder: of a model, or of an export.
        hub_id: if this is its folder in the Hub's cache.

    Raises:
        ModelError: if it has no readable config.json, or foodvision's part of it is damaged.

    """
    config = read_json(folder / CONFIG)
    if KEY not in config:  # other people's: they are the weights
        return _named(f"hub:{hub_id}" if hub_id else str(folder))
    info, named, teachers = ModelInfo.from_config(config), Licence(None, None), list[Licence]()
    for _ in range(_MOST_RUNS):
        origins = info.teacher.origins if info.teacher else []
        teachers += [Licence(origin.weights, origin.licence) for origin in origins]
        if not isinstance(source := info.recipe.get("weights"), str):
            break
        named = _named(source)
        try:
            info = ModelInfo.from_config(read_json(path_of(source) / CONFIG))
        except ModelError:  # no run of this machine
            break
    return named._replace(teachers=tuple(dict.fromkeys(teachers)))


def without_folders(source: str) -> str:
    """The name of weights or of a model; what folders this machine has is nobody's business.

    ``kind:name`` and a Hub id ``OWNER/NAME`` stay as they are.
    """
    path = Path(source)
    # os.path, because pathlib raises for a name that is too long for a file.
    local = path.is_absolute() or source.startswith(".") or os.path.lexists(path)
    return path.name if local or (":" not in source and len(path.parts) > 2) else source


def _forbids(licence: str | None) -> bool:
    return bool(licence and _NON_COMMERCIAL.search(licence))


def _named(source: str) -> Licence:
    try:
        name = find_licence(source)
    except ModelError:  # weights that this torchvision does not know
        name = None
    if name is None and "swag" in source.lower():  # torchvision's file, given as a file
        name = "CC-BY-NC 4.0 (SWAG)"
    return Licence(without_folders(source), name)
