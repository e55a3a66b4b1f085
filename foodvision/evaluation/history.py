"""Read what a run recorded while it trained, for the curves of a report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from foodvision.files.read import parse_json, read_text

log = logging.getLogger(__name__)

HISTORY = "history.jsonl"
_NUMBERS = ("train_loss", "train_accuracy", "log_loss", "accuracy")


def read_history(folder: Path | None) -> list[dict[str, Any]]:
    """The epochs of the run in a model's folder, or the L2 penalties that a probe tried.

    Args:
        folder: of the model.

    Returns:
        Its lines, for `foodvision.plots.plot_history`; empty if it has none that can be read.

    """
    path = folder / HISTORY if folder else None
    if not path or not path.exists():
        return []
    try:
        history = [parse_json(line) for line in read_text(path).splitlines()]
        _check(history)
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s: cannot be read (%s); the report has no curves", path, error)
        return []
    return history


def _check(history: list[Any]) -> None:
    """Raise ValueError, TypeError or KeyError if a line is not one of a run."""
    x = "l2" if history and "l2" in history[0] else "epoch"
    for line in history:
        numbers = [line[x], *(line[name] for name in _NUMBERS if line[name] is not None)]
        if any(type(number) not in (int, float) for number in numbers):
            raise TypeError("a value is not a number")
        if x == "l2" and line[x] <= 0:
            raise ValueError("an L2 penalty is not positive")
