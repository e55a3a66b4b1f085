"""Numbers that other people wrote, in a config.json or a recipe: of the right type, within bounds.

A value comes in with its name; nothing goes out, or a ValueError that states the bounds. Configs
check themselves with it before anything is allocated or computed from their sizes.
"""

from __future__ import annotations

import reprlib
from numbers import Integral, Real


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Check an integer; a bool or a float such as 3.0 is not one.

    Raises:
        ValueError: stating the bounds, which are included.

    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:  # type: ignore[operator]
        raise ValueError(
            f"{name} must be a whole number from {low:,} to {high:,}, not {reprlib.repr(value)}"
        )


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Check a number that may have a fraction; NaN is out of any bounds.

    Raises:
        ValueError: stating the bounds, which are included.

    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # type: ignore[operator]
        raise ValueError(
            f"{name} must be a number from {low:g} to {high:g}, not {reprlib.repr(value)}"
        )


def check_sides(name: str, size: object, high: int) -> None:
    """Check a size in pixels: one integer for a square, or height and width.

    Raises:
        ValueError: stating the bounds of a side, 1 to `high`.

    """
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"{name} must be one side or height and width, not {reprlib.repr(size)}")
    for side in sides:
        check_whole(name, side, 1, high)
