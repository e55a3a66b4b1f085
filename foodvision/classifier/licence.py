"""What the publishers of a model's pretrained weights allow."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from foodvision.classifier.info import KEY, ModelInfo, Origin
from foodvision.errors import ModelError
from foodvision.weights.box import BOX, NETWORK
from foodvision.weights.licence import find_licence, folder_of
from foodvision.weights.repository import CONFIG, read_json

_IDENTIFIERS = {
    *("mit", "apache-2.0", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
}
"""Of the Hub's list: those that are met among weights."""

_NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial|swag", re.IGNORECASE)


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
    def origin(self) -> Origin | None:
        """As it is recorded of a model."""
        return Origin(weights=self.source, licence=self.name) if self.source else None

    @property
    def origins_of_teachers(self) -> list[Origin]:
        """As they are recorded of a model."""
        return [teacher.origin for teacher in self.teachers if teacher.origin]

    @property
    def sentence(self) -> str:
        """For people."""
        if self.source is None:
            sentences = ["The network was trained from scratch."]
        else:
            sentences = [f"The weights are, or began as, {self.source}; {self._stated}."]
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


SCRATCH = Licence(None, None)
"""Of a network that began with no weights."""


def licence_of(folder: Path, source: str | None = None) -> Licence:
    """The licence of the weights that a model began with.

    What its own card states counts, or else what was stated of the weights that it began with; but
    none lifts what an earlier one forbids. It was recorded when the model was trained, because the
    models in between may be gone.

    Args:
        folder: of a model, or of an export.
        source: what users call it, such as ``hub:OWNER/NAME`` or ``box``; None for its folder.

    Raises:
        ModelError: if it has no readable config.json, or foodvision's part of it is damaged.

    """
    source = source or (BOX if folder == NETWORK else str(folder.resolve()))
    config, own = read_json(folder / CONFIG), _named(source)
    if KEY not in config:  # other people's: they are the weights
        return own
    info = ModelInfo.from_config(config)
    weights = info.recipe.get("weights")
    first = SCRATCH
    if info.origin:
        first = Licence(info.origin.weights, info.origin.licence)
    elif isinstance(weights, str):  # not recorded, which must not pass as unrestricted
        first = _named(weights)
    if own.name and not _forbids(first.name):
        first = own
    origins = [*info.origins_of_teachers, *(info.teacher.origins if info.teacher else [])]
    teachers = dict.fromkeys(Licence(each.weights, each.licence) for each in origins)
    return first._replace(teachers=tuple(teachers))


def licence_behind(source: str) -> Licence:
    """The licence of weights that a model or a teacher begins with, to be recorded.

    Args:
        source: see `foodvision.weights.source.read_checkpoint`.

    """
    try:
        folder = folder_of(source)
        return licence_of(folder, source) if folder else _named(source)
    except ModelError:  # a file with no config.json beside it
        return _named(source)


def without_folders(source: str) -> str:
    """The name of weights or of a model; what folders this machine has is nobody's business.

    ``kind:name`` and a Hub id ``OWNER/NAME`` stay as they are; a folder of the Hub's cache has the
    name of its repository.
    """
    path = Path(source)
    if path.parent.name == "snapshots" and path.parents[1].name.startswith("models--"):
        return path.parents[1].name.removeprefix("models--").replace("--", "/")
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
