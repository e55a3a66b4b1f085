"""What is to be put online, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foodvision.deploy import Target, What
from foodvision.errors import FoodvisionError
from foodvision.weights.box import BOX


@dataclass(frozen=True)
class Plan:
    """A model, and how it is served.

    Raises:
        FoodvisionError: if that is impossible, with the reason.

    """

    model: str
    """A folder, a Hub id or ``box``."""
    target: Target
    what: What = What.CLASSIFY
    title: str | None = None
    """Of the Space; None: made of the classes."""
    examples: Path | None = None
    """A folder of images that visitors may try."""
    vendor: Path | None = None
    """Of a static page: where onnxruntime-web was installed by npm; None: from a CDN."""

    def __post_init__(self) -> None:
        static = self.target is Target.STATIC
        if static and self.what is What.CAPTION:
            raise FoodvisionError(
                "--target static cannot caption: a captioner is a network of 1 GB that writes word "
                "by word, too much for a visitor's browser; choose zerogpu or cpu"
            )
        if self.what is What.CAPTION and self.model == BOX:
            raise FoodvisionError(
                "--what caption: give MODEL, the folder or Hub id of a captioner, such as "
                "Salesforce/blip-image-captioning-base"
            )
        if static and self.examples:
            raise FoodvisionError("--examples is for the targets zerogpu and cpu: a page has none")
        if self.vendor and not static:
            raise FoodvisionError("--vendor is for --target static")
        if self.examples and not self.examples.is_dir():
            raise FoodvisionError(f"{self.examples}: no such folder of examples")
