from __future__ import annotations

import pytest

from foodvision.goals import check_goals, parse_goals


def test_goals_as_they_are_typed() -> None:
    assert parse_goals(["accuracy=0.95", " fps = 30"]) == {"accuracy": 0.95, "fps": 30.0}
    assert parse_goals([]) == {}


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["speed=3"], r"no goal 'speed'; goals are accuracy \(.*fps \(images per second"),
        (["accuracy"], "'accuracy' is not NAME=NUMBER"),
        (["accuracy=high"], "is not NAME=NUMBER, such as accuracy=0.95; goals are"),
        (["accuracy=nan"], "is not NAME=NUMBER"),
        (["accuracy=95"], "accuracy must be a number from 0 to 1, not 95.0"),
        (["mb=-1"], "mb must be a number from 0"),
        (["fps=inf"], "fps must be a number from 0"),
        (["fps=3", "fps=4"], "fps is given twice"),
    ],
)
def test_what_is_no_goal(texts: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_goals(texts)


def test_goals_in_python_are_checked_too() -> None:
    with pytest.raises(ValueError, match="no goal 'speed'"):
        check_goals({"speed": 3})
