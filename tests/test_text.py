"""Names as plain text on a terminal, in JSON and in CSV."""

import json

import pytest

from foodvision.text import from_cell, printable, to_cell, to_json


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("crème brûlée 🍕", "crème brûlée 🍕"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\u2028", "two\\nlines\\u2028"),
        ("caf\udce9.jpg", "caf\\udce9.jpg"),
        ("gpj.\u202e", "gpj.\\u202e"),
        ("a\u200fb", "a\\u200fb"),
        ("👩\u200d🍳", "👩\u200d🍳"),  # a joined emoji stays one
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown
    shown.encode()


def test_json_carries_names_that_are_not_utf_8() -> None:
    text = to_json({"path": "caf\udce9 é.jpg"})
    assert text == '{"path": "caf\\udce9 é.jpg"}'
    assert json.loads(text.encode())["path"] == "caf\udce9 é.jpg"
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"log_loss": float("nan")})


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-x", "@a", "\ta", "'quoted", "pizza"])
def test_cells_are_no_formulas_and_can_be_read_back(name: str) -> None:
    cell = to_cell(name)
    assert cell[0] not in "=+-@\t"
    assert from_cell(cell) == name
