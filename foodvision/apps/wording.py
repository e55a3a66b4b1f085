"""What the classifier's app says beside its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from foodvision.classifier.classifier import Classifier
from foodvision.text import ask_which, list_names, to_markdown


class Wording(NamedTuple):
    """What the page says beside the model and its quality."""

    title: str | None = None
    """As plain text; None for one that asks for the class."""
    description: str | None = None
    """In Markdown, below the title."""
    article: str | None = None
    """In Markdown, below all else."""


def make_title(classes: Sequence[str]) -> str:
    """A title that asks for the class."""
    if len(classes) <= 4:
        title = ask_which(classes)
        return title[:1].upper() + title[1:]
    return f"Which of {len(classes)}?"


def describe(classifier: Classifier) -> str:
    """The model, its classes and its quality, in Markdown."""
    classes = to_markdown(list_names(classifier.classes))
    text = f"Answers come from {classifier.config.kind}. It knows only these classes: {classes}"
    if metrics := classifier.info.metrics:
        text += (
            f". On {metrics.n} validation images, {metrics.accuracy:.0%} of its answers were "
            f"right (log loss {metrics.log_loss:.2f})"
        )
    return f"{text}. Your images are deleted after some minutes."
