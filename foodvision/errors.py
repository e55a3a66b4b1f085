"""The failures a user can mend, each one clear line: what is wrong, where, what to do."""

from __future__ import annotations


class FoodvisionError(Exception):
    """Base of every error whose message is meant for the user; the command line exits 1 on it."""


class ImageError(FoodvisionError):
    """An image that cannot be opened.

    Attributes:
        source: where the image came from: a path, a URL, or ``<bytes>`` and the like.
        reason: why it cannot be opened, and what to do where something can be done.

    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        """Keep both fields where it is pickled."""
        return ImageError, (self.source, self.reason)


class DataError(FoodvisionError):
    """A data set that cannot be used as it is."""


class ModelError(FoodvisionError):
    """A model folder, checkpoint or network that cannot be used as it is."""


class RecipeError(FoodvisionError):
    """A recipe with an unknown or impossible setting."""


class RunInterruptedError(FoodvisionError):
    """A run that was asked to stop, and can go on; the command line exits 130 on it."""


class MissingExtraError(FoodvisionError):
    """A feature whose optional libraries are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: pip install 'foodvision[{extra}]'")
