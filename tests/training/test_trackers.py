"""The real trackers, writing to disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from foodvision.errors import FoodvisionError, MissingExtraError
from foodvision.training import plan
from foodvision.training.run import train
from tests.training.test_run import FAST

SHORT = FAST | {"epochs": 2, "num_layers": 1}


def test_tensorboard_shows_the_history(patterns: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(patterns, out=tmp_path / "r", trackers=("tensorboard",), **SHORT)
    events = EventAccumulator(str(tmp_path / "r" / "foodvision"))
    events.Reload()
    logged = events.Scalars("log_loss")
    assert [event.step for event in logged] == [epoch.step for epoch in result.history]
    assert [event.value for event in logged] == pytest.approx(
        [epoch.log_loss for epoch in result.history]
    )


def test_wandb_writes_into_the_folder_of_the_run(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(patterns, out=tmp_path / "r", trackers=("wandb",), **SHORT)
    train(patterns, out=tmp_path / "r", resume=True)
    files = list((tmp_path / "r" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2
    assert len({file.name for file in files}) == 1  # resumed in the same run
    train(patterns, out=tmp_path / "other", trackers=("wandb",), **SHORT)
    (other,) = (tmp_path / "other" / "wandb").glob("offline-run-*/*.wandb")
    assert other.name != files[0].name


def test_a_tracker_that_cannot_start_says_how_to_continue(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object, **named: object) -> None:
        raise RuntimeError("no login")

    monkeypatch.setattr("accelerate.Accelerator.init_trackers", broken)
    with pytest.raises(
        FoodvisionError, match=r"wandb: no login; fix that, or run the same command again"
    ):
        train(patterns, out=tmp_path / "r", trackers=("wandb",), **SHORT)
    monkeypatch.undo()
    assert train(patterns, out=tmp_path / "r", **SHORT).history


def test_a_missing_tracker_is_reported_before_any_work(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foodvision\[tensorboard\]'"):
        train(patterns, out=tmp_path / "r", trackers=("tensorboard",), **SHORT)
    assert not (tmp_path / "r").exists()
