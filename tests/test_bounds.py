from __future__ import annotations

import numpy as np
import pytest

from foodvision.bounds import check_number, check_sides, check_whole


def test_values_within_bounds_pass() -> None:
    for whole in (1, 9, np.int64(3)):
        check_whole("n", whole, 1, 9)
    for number in (0, 0.5, 1, np.float32(0.2)):
        check_number("p", number, 0, 1)
    for size in (1, 9, (1, 9)):
        check_sides("size", size, 9)


@pytest.mark.parametrize("value", [0, 10, -1, 3.0, "3", True, None, [3], {}, float("nan"), 10**400])
def test_others_are_named_with_the_bounds(value: object) -> None:
    with pytest.raises(ValueError, match="n must be a whole number from 1 to 9, not "):
        check_whole("n", value, 1, 9)
    for size in (value, (1, value)):
        with pytest.raises(ValueError, match="size must be a whole number from 1 to 9, not "):
            check_sides("size", size, 9)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("inf"), float("nan"), "0.5", False, None, 1j])
def test_other_numbers_are_named_with_the_bounds(value: object) -> None:
    with pytest.raises(ValueError, match="p must be a number from 0 to 1, not "):
        check_number("p", value, 0, 1)


@pytest.mark.parametrize("size", [(), (3,), (3, 3, 3)])
def test_a_size_has_one_side_or_two(size: object) -> None:
    with pytest.raises(ValueError, match="size must be one side or height and width, not"):
        check_sides("size", size, 9)


def test_a_long_value_is_not_printed_in_full() -> None:
    with pytest.raises(ValueError, match="not ") as caught:
        check_whole("n", "x" * 10**6, 1, 9)
    assert len(str(caught.value)) < 100
