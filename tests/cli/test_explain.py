from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from foodvision.evaluation import speed
from tests.cli.conftest import Result


def test_explain_writes_a_chart(
    run: Callable[..., Result],
    model: Path,
    patterns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    image = patterns / "test" / "dots" / "1000.png"
    result = run("explain", image, "--model", model)
    assert result.code == 0, result.err
    assert "attention rollout in explain-1000.png" in result.out
    with Image.open("explain-1000.png") as chart:
        assert chart.format == "PNG"
    assert run("explain", image, "--model", model, "--out", "a.txt").code == 2
    monkeypatch.setitem(sys.modules, "foodvision.explanation", None)  # importing it would fail
    result = run("explain", image, "--model", model, "--out", "nosuch/a.png")
    assert "nosuch/a.png: cannot be written" in result.err


def test_info_with_layers(run: Callable[..., Result], model: Path) -> None:
    result = run("info", model, "--layers")
    assert result.code == 0, result.err
    assert "Total params" in result.out


def test_choose(
    run: Callable[..., Result], model: Path, patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "MAX_IMAGES", 2)
    monkeypatch.setattr(speed, "ROUNDS", 1)
    result = run("choose", patterns, "--weights", model, "--json")
    assert result.code == 0, result.err
    (candidate,) = json.loads(result.out)["candidates"]
    assert candidate["weights"] == str(model)
    assert result.err.count("3 classes") == 1  # the dataset is listed once
    result = run("choose", patterns, "--weights", model)
    assert result.out.splitlines()[-1].startswith(f"Next: foodvision train {patterns} ")


def test_choose_says_what_is_wrong_with_the_data_before_importing_torch(
    run: Callable[..., Result], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "foodvision.evaluation", None)
    result = run("choose", "nosuch", "--weights", model)
    assert result.code == 1
    assert "nosuch: no such folder" in result.err
