"""The failures that a user can cause, each with a message of one line.

The line says what is wrong, where, and what to do. The command line prints it and exits with 1;
everything else that is raised is a bug.
"""

from __future__ import annotations

from foodvision.text import printable


class FoodvisionError(Exception):
    """Base of every error whose message is meant for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))  # it may quote a file that others wrote


class ImageError(FoodvisionError):
    """An image that cannot be opened.

    Attributes:
        source: where the image came from: a path, a URL, or ``<bytes>`` and the like.
        reason: why it cannot be opened, and what to do if something can be done.

    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        """Pickle both fields, so that worker processes can raise it."""
        return ImageError, (self.source, self.reason)


class DataError(FoodvisionError):
    """A dataset that cannot be used as it is."""


class ModelError(FoodvisionError):
    """A model folder, checkpoint or network that cannot be used as it is."""


class RecipeError(FoodvisionError):
    """A recipe with an unknown or impossible setting."""


class HubError(FoodvisionError):
    """The Hub refused something, or could not be reached; what was sent before is kept there."""


class RunInterruptedError(FoodvisionError):
    """A run that was interrupted and can be resumed; the command line exits with 130."""


class OtherRankError(FoodvisionError):
    """One of several training processes ends because another failed, which reports the failure."""


class MissingExtraError(FoodvisionError):
    """A feature whose optional libraries are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: pip install 'foodvision[{extra}]'")
