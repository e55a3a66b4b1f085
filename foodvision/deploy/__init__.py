"""Put a model online: a folder that a Space runs, and the Hub that runs it.

What can be put where, in plain data.
"""

from __future__ import annotations

from enum import StrEnum


class Target(StrEnum):
    """What runs the model of a Space."""

    STATIC = "static"
    """The visitor's browser: no server, free for every account."""
    ZEROGPU = "zerogpu"
    """Gradio on a shared GPU: two Spaces for a free account."""
    CPU = "cpu"
    """Gradio on ONNX Runtime, without torch: a paid plan, or a server of one's own."""


class What(StrEnum):
    """Which app."""

    CLASSIFY = "classify"
    CAPTION = "caption"
