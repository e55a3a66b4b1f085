from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foodvision.evaluation import speed
from tests.cli.conftest import Result


@pytest.fixture
def models(model: Path, tmp_path: Path) -> list[Path]:
    return [model, shutil.copytree(model, tmp_path / "copy")]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "MAX_IMAGES", 4)
    monkeypatch.setattr(speed, "ROUNDS", 1)


def test_tables_and_files(
    run: Callable[..., Result], models: list[Path], patterns: Path, tmp_path: Path
) -> None:
    goals = ("--goal", "accuracy=0.99", "--goal", "fps=0.01")
    result = run("compare", *models, "--data", patterns, *goals, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0].startswith("test of ")
    assert lines[-1] == f"comparison in {tmp_path / 'out'}"
    (pair,) = [line for line in lines if "copy minus model" in line]
    assert pair.count("not established at n = 30") == 2
    assert "not met" in result.out
    files = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert files == {".json", ".csv", ".md", ".png", ".html"}


def test_json_is_one_document(
    run: Callable[..., Result], models: list[Path], patterns: Path
) -> None:
    result = run("compare", *models, "--data", patterns, "--json")
    assert result.code == 0, result.err
    assert [row["name"] for row in json.loads(result.out)["models"]] == ["model", "copy"]


def test_mistakes_are_said_before_anything_is_measured(
    run: Callable[..., Result],
    models: list[Path],
    patterns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "foodvision.evaluation", None)  # importing it would fail
    result = run("compare", *models, "--data", patterns, "--goal", "speed=3")
    assert result.code == 2
    assert "no goal 'speed'" in result.err
    assert run("compare", *models).code == 2
    assert run("compare", "--data", patterns).code == 2
    result = run("compare", models[0], tmp_path / "nosuch", "--data", patterns)
    assert (result.code, result.out) == (1, "")
    assert "no such model folder" in result.err
    result = run("compare", *models, "--data", tmp_path / "nosuch")
    assert (result.code, result.out) == (1, "")
    assert "no such folder" in result.err
