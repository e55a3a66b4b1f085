"""docs/paper_to_code.md names files, symbols and commands: all of them exist."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from foodvision.cli import app

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "paper_to_code.md").read_text()
SYMBOLS = re.findall(r"`(foodvision/[\w/]+\.py)` `([\w.]+)`", TEXT)


def test_every_file_exists_and_every_python_file_has_a_symbol() -> None:
    files = re.findall(r"`(foodvision/[\w/]+\.\w+)`", TEXT)
    assert all((ROOT / file).is_file() for file in files)
    assert sum(file.endswith(".py") for file in files) == len(SYMBOLS) > 50


@pytest.mark.parametrize(("file", "symbol"), sorted(set(SYMBOLS)))
def test_every_symbol_exists(file: str, symbol: str) -> None:
    found: Any = import_module(file.removesuffix(".py").replace("/", "."))
    for name in symbol.split("."):
        fields = getattr(found, "model_fields", {})  # pydantic's are no attributes
        found = fields[name] if name in fields else getattr(found, name)


def test_every_command_exists() -> None:
    commands = set(re.findall(r"`foodvision ([a-z0-9 -]+)`", TEXT))
    assert len(commands) > 5
    for words in commands:
        found: Any = get_command(app)
        for word in words.split():
            found = found.commands[word]


def test_nothing_of_the_paper_is_missing() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", TEXT, flags=re.MULTILINE)
    expected = [f"Eq. {i}" for i in range(1, 9)]
    expected += [f"Table {i}" for i in range(1, 10)]
    expected += [f"Figure {i}" for i in range(1, 15)]
    expected += ["A", "B.1", "B.1.1", "B.1.2", "C", *(f"D.{i}" for i in range(1, 11))]
    assert [row for row in expected if row not in rows] == []


def test_every_departure_that_the_network_states_is_listed() -> None:
    listed = TEXT.partition("## Departures")[2]
    recipes = ("recipes/finetune_paper.toml", "recipes/scratch_paper.toml")
    for file in ("models/vit.py", "paper/variants.py", "paper/plots.py", *recipes):
        stated = (ROOT / "foodvision" / file).read_text().count("Departs from the")
        assert listed.count(f"`foodvision/{file}`") >= stated > 0, file


def test_links_resolve() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert link.startswith("https://") or (ROOT / "docs" / link).exists(), link
