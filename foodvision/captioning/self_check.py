"""Is this BLIP as its authors published it? A known image must give the model card's captions."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from foodvision.captioning.caption import CaptionSettings
from foodvision.captioning.captioner import Captioner
from foodvision.errors import FoodvisionError, ImageError
from foodvision.images.decode import ImageSource
from foodvision.images.source import is_url
from foodvision.text import printable, to_json

DEMO = "https://storage.googleapis.com/sfr-vision-language-research/BLIP/demo.jpg"
"""The image of Salesforce's model cards: a woman and her dog on a beach."""

CAPTIONS = {
    "": "a woman sitting on the beach with her dog",
    "a photography of": "a photography of a woman and her dog",
}
"""By prefix, from the card of the base model; transformers' own tests expect the first as well."""


@dataclass(frozen=True)
class Check:
    """One caption beside the known one."""

    prefix: str
    expected: str
    caption: str

    @property
    def passed(self) -> bool:
        """Whether they are the same."""
        return self.caption == self.expected

    def __str__(self) -> str:
        """One line."""
        about = f"with the prefix '{self.prefix}'" if self.prefix else "without a prefix"
        if self.passed:
            return f"{about}: {self.caption!r}, as on the model card"
        return f"{about}: {self.caption!r}; the model card has {self.expected!r}"


def self_check(captioner: Captioner, image: ImageSource = DEMO) -> list[Check]:
    """Caption the model card's image as the card does: the likeliest word each time.

    Args:
        captioner: what is checked, in its own precision.
        image: the card's image, or where it is.

    Raises:
        FoodvisionError: if the image cannot be opened; it says how to get it.

    """
    try:
        captions = {
            prefix: captioner.caption(image, CaptionSettings(prefix, beams=1)).caption
            for prefix in CAPTIONS
        }
    except ImageError as error:
        if not is_url(image):
            raise
        raise FoodvisionError(
            f"{error}; download this image where there is a network, and give it: "
            "foodvision caption --self-check demo.jpg"
        ) from error
    return [Check(prefix, CAPTIONS[prefix], text or "") for prefix, text in captions.items()]


def write_checks(checks: list[Check], as_json: bool = False) -> None:
    """Print what was found.

    Raises:
        FoodvisionError: if a caption is not the known one.

    """
    if as_json:
        print(to_json([asdict(check) | {"passed": check.passed} for check in checks]))
    else:
        print("\n".join(printable(str(check)) for check in checks))
    if failed := sum(not check.passed for check in checks):
        raise FoodvisionError(
            f"self-check: {failed} of {len(checks)} captions differ; either this is not the model "
            "card's image, or the weights are not Salesforce's"
        )
