"""README.md of a Space: the header by which the Hub builds it, and what a visitor should know."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import SpaceCard, SpaceCardData, SpaceHardware
from huggingface_hub.constants import SPACES_SDK_TYPES

from foodvision.deploy import Target
from foodvision.errors import FoodvisionError
from foodvision.files.read import read_text
from foodvision.text import printable

CARD = "README.md"

TAG = "foodvision"
"""Of what `foodvision deploy` and `push` wrote, and may therefore write again."""

HARDWARE = {
    Target.STATIC: None,
    Target.ZEROGPU: SpaceHardware.ZERO_A10G,
    Target.CPU: SpaceHardware.CPU_BASIC,
}

SDK = {Target.STATIC: "static", Target.ZEROGPU: "gradio", Target.CPU: "gradio"}

APP_FILES = {Target.STATIC: "index.html", Target.ZEROGPU: "app.py", Target.CPU: "app.py"}

_COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}

_ISOLATED = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}
"""Headers without which a browser gives WebAssembly one thread."""

MAX_SHORT_DESCRIPTION = 60


def space_card(
    target: Target,
    python_version: str,
    gradio_version: str,
    title: str,
    licence: str | None,
    model: str | None,
    preload: str | None,
    body: str,
) -> str:
    """The text of the card.

    Args:
        target: of the Space.
        python_version: of the Space.
        gradio_version: what a Space that is not static installs.
        title: plain text.
        licence: of the model, from the Hub's list of licences.
        model: a Hub id that the Space loads when it starts.
        preload: the same as its build fetches it.
        body: below the title, in Markdown.

    """
    static = target is Target.STATIC
    header = SpaceCardData(
        title=printable(title),
        emoji="🍽️",
        colorFrom="yellow",
        colorTo="red",
        sdk=SDK[target],
        sdk_version=None if static else gradio_version,
        python_version=python_version,
        app_file=APP_FILES[target],
        license=licence,
        short_description="Made with foodvision",
        suggested_hardware=None if static else str(HARDWARE[target].value),  # type: ignore[union-attr]
        custom_headers=_ISOLATED if static else None,
        models=[model] if model else None,
        preload_from_hub=[preload] if preload else None,
        tags=[TAG],
    )
    return f"---\n{header.to_yaml()}\n---\n\n{body}"


def check_card(folder: Path) -> SpaceCardData:
    """Check the header against what the Hub's builds accept; a wrong one ends in "config error".

    Raises:
        FoodvisionError: naming the first value that is wrong.

    """
    header = read_card(folder)
    if header is None:
        raise FoodvisionError(f"{folder / CARD}: has no header that the Hub can read")
    sdk, python, gradio = header.sdk, str(header.python_version), str(header.sdk_version)
    hardware = header.get("suggested_hardware")
    wrong = {
        "title": not header.title,
        "colorFrom": header.get("colorFrom") not in _COLOURS,
        "colorTo": header.get("colorTo") not in _COLOURS,
        "sdk": sdk not in SPACES_SDK_TYPES,
        "python_version": not re.fullmatch(r"3\.\d+(\.\d+)?", python),
        "sdk_version": sdk == "gradio" and not re.fullmatch(r"\d+\.\d+\.\d+", gradio),
        "app_file": not (folder / str(header.app_file)).is_file(),
        "short_description": len(header.get("short_description", "")) > MAX_SHORT_DESCRIPTION,
        "suggested_hardware": hardware not in {None, *(flavour.value for flavour in SpaceHardware)},
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise FoodvisionError(f"{folder / CARD}: {name} is wrong: {header.get(name)!r}")
    return header


def read_card(folder: Path) -> SpaceCardData | None:
    """The header of a Space's card; None if there is none."""
    try:
        data = SpaceCard(read_text(folder / CARD)).data
    except Exception:  # no card, or a damaged header: the YAML parser has errors of its own
        return None
    return data if isinstance(data, SpaceCardData) else None
