from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from foodvision import demo
from foodvision.data.food101 import RELEASES
from foodvision.data.load import is_at_hand
from foodvision.drawings.draw import write_drawn
from foodvision.errors import DataError
from foodvision.files.web import WebError


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those that were trained by, for one epoch and narrow; in a folder without a network."""

    def unreachable(url: str, timeout: float) -> None:
        raise WebError("no network", answered=False)

    def train(data: Any, recipe: str, out: Path, device: str) -> Any:
        used.append(recipe)
        return honest(data, recipe, out, device, epochs=1, hidden_size=48)

    used: list[str] = []
    honest = demo.train
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "open_url", unreachable)
    monkeypatch.setattr(demo, "train", train)
    write_drawn(cache() / "drawn", train_per_class=40, test_per_class=20)
    return used


def cache() -> Path:
    return Path("cache/foodvision")


def test_without_a_network_the_demo_trains_on_drawings(
    recipes: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    demo.run_demo(device="cpu")
    assert recipes == ["demo"]
    assert "no photographs of mini20: no network" in caplog.text
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("The model in the box knows photographs. A drawn sushi is ")
    assert lines[-1] == "Open the app: foodvision app runs/demo"
    assert sum("logistic regression" in line for line in lines) == 2
    assert "report: runs/demo/report/report.html" in lines
    charts = {"confusion.png", "reliability.png", "curves.png"}
    assert {path.name for path in Path("runs/demo/report").iterdir()} == charts | {
        *("report.html", "metrics.json", "predictions.csv")
    }


def test_photographs_in_the_cache_are_trained_on(
    recipes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (cache() / "drawn").rename(cache() / "mini20")
    Path("runs/demo").mkdir(parents=True)
    demo.run_demo(device="cpu")
    assert recipes == ["demo_photographs"]
    assert Path("runs/demo-2/model.safetensors").exists()


def test_a_download_that_fails_is_said(
    recipes: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(data: str) -> None:
        raise DataError("its git blob id is another one")

    monkeypatch.setattr(demo, "open_url", lambda url, timeout: io.BytesIO())
    monkeypatch.setattr(demo, "load_dataset", broken)
    assert demo._photographs() is None
    assert "no photographs of mini20: its git blob id is another one" in caplog.text


def test_an_archive_that_was_put_there_by_hand_needs_no_network(recipes: list[str]) -> None:
    assert not is_at_hand("mini20")
    (cache() / RELEASES["mini20"].file.name).touch()
    assert is_at_hand("mini20")
