from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from foodvision import demo
from foodvision.drawings.draw import write_drawn
from foodvision.files.web import WebError

CHARTS = {"confusion.png", "reliability.png", "curves.png"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary one, no network, and one epoch of a narrow network."""

    def unreachable(url: str, seconds: float) -> None:
        raise WebError("cannot be reached", answered=False)

    def train(*given: Any, **changes: Any) -> Any:
        return honest(*given, **changes | {"epochs": 1, "hidden_size": 48})

    honest = demo.train
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "open_url", unreachable)
    monkeypatch.setattr(demo, "train", train)
    return tmp_path / "cache" / "foodvision"


def test_without_a_network_the_demo_trains_on_drawings(
    cache: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "foodvision")
    write_drawn(cache / "drawn", train_per_class=40, test_per_class=20)
    demo.run_demo(device="cpu")
    assert "mini20: cannot be reached. Drawings take the place of its photographs." in caplog.text
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("To it, the drawing test/sushi/")
    assert lines[-1] == "Open the app: foodvision app runs/demo"
    assert sum("logistic regression" in line for line in lines) == 2
    assert "report: runs/demo/report/report.html" in lines
    assert {path.name for path in Path("runs/demo/report").iterdir()} == CHARTS | {
        *("report.html", "metrics.json", "predictions.csv")
    }
    demo.run_demo(device="cpu")
    assert Path("runs/demo-2/model.safetensors").exists()


def test_with_photographs_the_demo_trains_on_them(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_drawn(cache / "mini20", train_per_class=40, test_per_class=20)  # they are in the cache
    demo.run_demo(device="cpu")
    assert "To it, the photograph test/sushi/" in capsys.readouterr().out
    assert not (cache / "drawn").exists()
