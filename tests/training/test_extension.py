"""A finished run is extended by a new one, which says what it began with."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import DataError, FoodvisionError, RecipeError, RunInterruptedError
from foodvision.training.loop import Training
from foodvision.training.recipe import Recipe
from foodvision.training.run import TrainingResult, train
from foodvision.training.settings import resumed_recipe
from tests.training.test_resume import curves, sha256
from tests.training.test_run_folder import CPU, SHORT


@pytest.fixture(scope="module")
def finished(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs; do not write to it."""
    return train(patterns, out=tmp_path_factory.mktemp("finished") / "r", **CPU, **SHORT).folder


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def extend(patterns: Path, run: Path, epochs: int = 4) -> TrainingResult:
    return train(patterns, out=run, resume=True, epochs=str(epochs), **CPU)


def test_a_finished_run_is_extended_by_a_new_run_that_says_what_it_began_with(
    finished: Path, patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = shutil.copytree(finished, tmp_path / "r")
    before = content(run)
    with caplog.at_level("INFO", "foodvision"):
        result = extend(patterns, run)
    assert content(run) == before
    assert (
        TorchClassifier.load(result.folder).predict(next(patterns.rglob("*.png"))).sure is not None
    )
    assert result.folder == tmp_path / "r-4-epochs"
    assert "a new run that begins where r ended, after epoch 2, with its weights" in caplog.text
    assert curves(result.folder)[:2] == curves(run)
    assert [epoch.epoch for epoch in result.history] == [1, 2, 3, 4]
    # The cosine of four epochs, from its second half on.
    assert result.history[1].learning_rate < 0.2e-3 < result.history[2].learning_rate < 0.6e-3
    record = json.loads((result.folder / "recipe.json").read_text())
    assert record["recipe"]["epochs"] == 4
    assert {key: record["extends"][key] for key in ("run", "epochs")} == {"run": "r", "epochs": 2}
    info = TorchClassifier.load(result.folder).info
    assert info.training == "4 epochs, the first 2 of them as the finished run r, seed 0"
    assert info.recipe["epochs"] == 4
    assert info.training in (result.folder / "README.md").read_text()

    again = extend(patterns, shutil.copytree(finished, tmp_path / "again"))
    assert sha256(again.folder) == sha256(result.folder)
    with pytest.raises(FoodvisionError, match="r-4-epochs: holds a run; continue it with"):
        extend(patterns, run)
    assert extend(patterns, result.folder, 5).folder == tmp_path / "r-5-epochs"


def test_an_interrupted_extension_resumes_to_the_same_weights(
    finished: Path, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extend(patterns, shutil.copytree(finished, tmp_path / "whole")).folder
    run, steps = shutil.copytree(finished, tmp_path / "r"), Training.steps

    def signalled(self: Training):  # type: ignore[no-untyped-def]
        for epoch in steps(self):
            if self.step == 10:
                os.kill(os.getpid(), signal.SIGTERM)
            yield epoch

    monkeypatch.setattr(Training, "steps", signalled)
    with pytest.raises(RunInterruptedError, match=r"epoch 3 of 4; resume with: .*/r-4-epochs "):
        extend(patterns, run)
    monkeypatch.undo()
    train(patterns, out=tmp_path / "r-4-epochs", resume=True, **CPU)
    assert sha256(tmp_path / "r-4-epochs") == sha256(whole)
    assert curves(tmp_path / "r-4-epochs") == curves(whole)


def test_an_extension_that_fails_leaves_no_folder(
    finished: Path, patterns: Path, tmp_path: Path
) -> None:
    run, data = shutil.copytree(finished, tmp_path / "r"), shutil.copytree(patterns, tmp_path / "d")
    next((data / "train").rglob("*.png")).unlink()
    with pytest.raises(DataError, match="dataset has changed since this run began"):
        extend(data, run)
    assert not (tmp_path / "r-4-epochs").exists()
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(FoodvisionError, match="has no checkpoint to continue from"):
        extend(patterns, run)
    assert not (tmp_path / "r-4-epochs").exists()


def test_what_cannot_be_extended_says_why(finished: Path, patterns: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not 1: a finished run is extended by"):
        extend(patterns, finished, 1)
    interrupted = shutil.copytree(finished, tmp_path / "interrupted")
    (interrupted / "metrics.json").unlink()
    with pytest.raises(RecipeError, match="not 4: the learning rate depends on it; resume without"):
        extend(patterns, interrupted)
    still = SHORT | {"epochs": 6, "learning_rate": 1e-12, "patience": 1, "ema_decay": 0}
    stopped = train(patterns, out=tmp_path / "stopped", **CPU, **still).folder
    with pytest.raises(RecipeError, match=r"stopped after epoch \d, because patience = 1"):
        extend(patterns, stopped, 9)
    weights = {"weights": str(finished), "precision": "float32"}
    probe = train(patterns, "probe", tmp_path / "probe", **CPU, **weights).folder
    with pytest.raises(RecipeError, match="a probe has no epochs to add"):
        extend(patterns, probe)


def test_a_finished_run_that_lacks_a_file_is_named(
    finished: Path, patterns: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(finished, tmp_path / "r")
    (run / "README.md").unlink()
    with pytest.raises(FoodvisionError, match=r"/r: has no README.md, and cannot be extended"):
        extend(patterns, run)
    assert not (tmp_path / "r-4-epochs").exists()
    record = json.loads((run / "recipe.json").read_text())
    record["recipe"]["patience"] = 1
    (run / "recipe.json").write_text(json.dumps(record))
    (run / "history.jsonl").write_text("")
    with pytest.raises(FoodvisionError, match=r"history.jsonl: is damaged \(it has no epoch\)"):
        extend(patterns, run)


def test_epochs_in_a_recipe_file_do_not_extend_a_run(tmp_path: Path) -> None:
    recipe = tmp_path / "longer.toml"
    recipe.write_text("epochs = 4\n")
    with pytest.raises(RecipeError, match="not 4: to extend the finished run, add --set epochs=4"):
        resumed_recipe(Recipe(epochs=2), recipe, {}, finished=True)
