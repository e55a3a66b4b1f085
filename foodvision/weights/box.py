"""The classifier of pizza, steak and sushi that ships with foodvision, by its name.

Its folder `foodvision/box` is written by `release/box.py`.
"""

from __future__ import annotations

from pathlib import Path

from foodvision.errors import FoodvisionError

BOX = "box"
"""What commands call it; a folder of that name is ``./box``."""

FOLDER = Path(__file__).parents[1] / "box"

NETWORK = FOLDER / "network"
"""Its model repository, with weights in float16."""

GRAPHS = FOLDER / "graphs"
"""Its export in int8, which needs no torch."""

ABOUT = "## The model in the box"
"""The title of its card's last section: its training images, its test figures and its limits."""


def path_of(model: str) -> Path:
    """The path that a model is given by: that of the network, for `BOX`."""
    return NETWORK if model == BOX else Path(model)


def check_not_named_box(out: Path) -> None:
    """Raise FoodvisionError if the commands that name a new model would mean `BOX`."""
    if out == Path(BOX):
        raise FoodvisionError(
            f"{BOX} is the name of the model that ships with foodvision: choose another --out"
        )
