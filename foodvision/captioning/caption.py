"""The captions of one image, and the settings that they are written with, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from foodvision.bounds import check_number, check_whole

MAX_PREFIX = 200
"""Characters of a prefix."""


@dataclass(frozen=True)
class CaptionSettings:
    """How captions are written; the defaults for `beams` and `max_length` are the paper's.

    Attributes:
        prefix: how every caption begins, such as ``a photo of``; at most 200 characters.
        beams: captions that are continued side by side, 1-20, or `captions` if that is more. One
            is fastest and takes the likeliest word each time.
        max_length: tokens (words or parts of words) that follow the prefix, 1-200.
        captions: how many, 1-20, the most probable first. They differ by a word or two.
        repetition_penalty: 1-10; above 1, words that are there already become less probable.
            1.2 stops "a bald bald bald man"; 1 changes nothing.

    Raises:
        ValueError: naming a value that is of the wrong type or out of bounds.

    """

    prefix: str = ""
    beams: int = 3
    max_length: int = 20
    captions: int = 1
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or len(self.prefix) > MAX_PREFIX:
            raise ValueError(f"prefix must be a text of at most {MAX_PREFIX} characters")
        check_whole("beams", self.beams, 1, 20)
        check_whole("max_length", self.max_length, 1, 200)
        check_whole("captions", self.captions, 1, 20)
        check_number("repetition_penalty", self.repetition_penalty, 1, 10)


@dataclass(frozen=True)
class Caption:
    """The answer for one image.

    Attributes:
        path: where the image came from.
        caption: the most probable one; None if the image could not be opened.
        captions: all that were asked for, the most probable first.
        error: why the image could not be opened; None if it was.

    """

    path: str
    caption: str | None = None
    captions: tuple[str, ...] = ()
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)
