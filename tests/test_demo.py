from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from foodvision import demo
from foodvision.drawings.draw import write_drawn


@pytest.fixture
def small_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the drawings, in a temporary cache, and one epoch of a narrow network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_drawn(tmp_path / "cache" / "foodvision" / "drawn", train_per_class=40, test_per_class=20)
    monkeypatch.setattr(demo, "train", partial(demo.train, epochs=1, hidden_size=48))


def test_demo_trains_reports_and_ends_with_the_apps_command(
    small_sample: None, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.run_demo(device="cpu")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("The model in the box knows photographs. A drawn sushi is ")
    assert lines[-1] == "Open the app: foodvision app runs/demo"
    assert sum("logistic regression" in line for line in lines) == 2
    assert "report: runs/demo/report/report.html" in lines
    charts = {"confusion.png", "reliability.png", "curves.png"}
    assert {path.name for path in Path("runs/demo/report").iterdir()} == charts | {
        *("report.html", "metrics.json", "predictions.csv")
    }
    demo.run_demo(device="cpu")
    assert Path("runs/demo-2/model.safetensors").exists()
