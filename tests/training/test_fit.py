"""What a user sees of a run while it trains."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest

from foodvision.training.display import _time_left
from foodvision.training.epoch import Epoch
from foodvision.training.run import train
from tests.training.test_run import FAST

SHORT = FAST | {"epochs": 2, "num_layers": 1}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_each_epoch_is_one_log_line(
    patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "foodvision")
    result = train(patterns, out=tmp_path / "r", device="cpu", **SHORT)
    lines = [line for line in caplog.messages if line.startswith("epoch ")]
    assert len(lines) == 2
    for line, epoch in zip(lines, result.history, strict=True):
        best = min(past.log_loss for past in result.history[: epoch.epoch])
        for part in (
            f"epoch {epoch.epoch}/2: training loss {epoch.train_loss:.4f}",
            f"validation log loss {epoch.log_loss:.4f}, accuracy {epoch.accuracy:.1%}",
            f"best {best:.4f} in epoch ",
        ):
            assert part in line
    assert lines[0].endswith(" s left")
    assert "left" not in lines[1]


def test_on_a_terminal_each_epoch_is_one_row(
    patterns: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    caplog.set_level(logging.INFO, "foodvision")
    result = train(patterns, out=tmp_path / "r", device="cpu", **SHORT)
    assert not [line for line in caplog.messages if line.startswith("epoch ")]
    shown = terminal.getvalue()
    assert shown.count("validation log loss") == 1
    for epoch in result.history:
        assert f"{epoch.log_loss:.4f}" in shown


def test_the_time_left_counts_validation() -> None:
    """800 images in 8 s, then 2 s of validation; at the end, the best model is measured."""
    epoch = Epoch(2, 8, 1.0, 0.5, 1.0, 0.5, 0.1, seconds=10.0, images_per_second=100.0)
    assert _time_left([epoch, epoch], 800, 3) == "32 s"
    assert _time_left([epoch], 800, 0) == _time_left([], 800, 3) == ""
