"""A run that fails before its first checkpoint leaves its folder free."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from foodvision.errors import DataError, FoodvisionError
from foodvision.training.loop import Training
from foodvision.training.run import train
from foodvision.training.run_folder import RunFolder
from tests.training.test_resume import SETTINGS, curves

SHORT = SETTINGS | {"epochs": 2, "num_layers": 1}
CPU = {"device": "cpu"}


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_that_fails_before_its_first_step_leaves_the_folder_as_it_was(
    exists: bool, patterns: Path, tmp_path: Path
) -> None:
    data, out = shutil.copytree(patterns, tmp_path / "d"), tmp_path / "r"
    if exists:
        out.mkdir()
    bad = [data / "train" / "dots" / f"bad{i}.jpg" for i in range(9)]
    for path in bad:
        path.touch()
    with pytest.raises(DataError, match="9 of 99 images cannot be opened"):
        train(data, out=out, **CPU, **SHORT)
    assert out.exists() == exists
    assert not list(out.glob("*"))
    for path in bad:
        path.unlink()
    assert train(data, out=out, **CPU, **(SHORT | {"epochs": 1})).history


def test_a_run_that_fails_after_a_checkpoint_keeps_it(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Training._learn

    def fails(self: Training, *batch: object) -> object:
        return learn(self, *batch) * (math.nan if self.epoch else 1)

    monkeypatch.setattr(Training, "_learn", fails)
    with pytest.raises(FoodvisionError, match="epoch 2: the loss is not a finite number"):
        train(patterns, out=tmp_path / "r", **CPU, **SHORT)
    assert len(curves(tmp_path / "r")) == 1


def test_an_epoch_without_a_log_loss_is_null_in_the_history(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_history([{"epoch": 1, "log_loss": math.nan}, {"epoch": 2, "log_loss": 0.5}])
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    losses = [json.loads(line)["log_loss"] for line in lines]
    assert losses == [None, 0.5]
