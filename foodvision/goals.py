"""What a classifier must reach, as the user types it: ``accuracy=0.95``, ``fps=30``.

Text comes in and is checked, without torch, before anything is measured; numbers by name go out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from foodvision.bounds import check_number

GOALS: dict[str, tuple[bool, float, str]] = {
    "accuracy": (True, 1, "share of test images, 0 to 1"),
    "log_loss": (False, 1e3, "nats"),
    "fps": (True, 1e9, "images per second, one by one"),
    "mb": (False, 1e9, "megabytes of model.safetensors"),
    "parameters": (False, 1e15, "number of weights"),
}
"""By name: whether more is better, the largest value, the unit."""


def parse_goals(texts: Iterable[str]) -> dict[str, float]:
    """Goals from ``NAME=VALUE``.

    Raises:
        ValueError: if one is not of that form, or as `check_goals` does.

    """
    goals: dict[str, float] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not equals or number != number:
            raise ValueError(f"{text!r} is not NAME=NUMBER, such as accuracy=0.95; {_known()}")
        if name in goals:
            raise ValueError(f"{name} is given twice")
        goals[name] = number
    check_goals(goals)
    return goals


def check_goals(goals: Mapping[str, float]) -> None:
    """Check the names and the bounds of goals.

    Raises:
        ValueError: naming the goals that there are, or the bounds.

    """
    for name, value in goals.items():
        if name not in GOALS:
            raise ValueError(f"there is no goal {name!r}; {_known()}")
        check_number(name, value, 0, GOALS[name][1])


def _known() -> str:
    return "goals are " + ", ".join(f"{name} ({unit})" for name, (_, _, unit) in GOALS.items())
