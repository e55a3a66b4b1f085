from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foodvision.data import load_dataset
from foodvision.errors import DataError, FoodvisionError, RecipeError, RunInterruptedError
from foodvision.paper import kept_runs
from foodvision.paper.self_supervision import (
    Outcome,
    SelfSupervision,
    measure_self_supervision,
)
from foodvision.training.run_folder import RunFolder

TINY: dict[str, Any] = {
    "image_size": 16,
    "num_layers": 1,
    "hidden_size": 24,
    "epochs": 1,
    "batch_size": 16,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def out(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write to it."""
    folder = tmp_path_factory.mktemp("self-supervision") / "out"
    measure_self_supervision(patterns, 1, TINY, {"epochs": 2}, None, folder, "cpu")
    return folder


def test_both_learn_from_the_same_images_with_the_same_settings(out: Path) -> None:
    recipes = {
        name: RunFolder(out / f"{name}-0").recipe().model_dump()
        for name in ("scratch", "pretrained", "finetuned")
    }
    scratch, first, then = recipes.values()
    assert then.pop("weights").endswith("pretrained-0")
    brought = {name for name, value in then.items() if value is None}
    assert {"image_size", "num_layers", "patch_size"} <= brought
    for name in set(scratch) - brought - {"method", "weights"}:
        assert then[name] == scratch[name], name
    for name in ("image_size", "num_layers", "hidden_size", "patch_size", "batch_size"):
        assert first[name] == (64 if name == "batch_size" else scratch[name])
    assert (first["epochs"], scratch["epochs"]) == (2, 1)
    splits = {(out / f"{name}-0" / "split.csv").read_text() for name in recipes}
    assert len(splits) == 1


def test_runs_are_kept_and_other_settings_refused(
    patterns: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_runs, "run_plan", None)  # calling it would fail
    again = measure_self_supervision(patterns, 1, TINY, {"epochs": 2}, None, out, "cpu")
    saved = json.loads((out / "self-supervision.json").read_text())
    assert saved == json.loads(json.dumps(again.to_dict()))
    assert again.n == 30
    scratch, pretrained = again.outcomes
    assert pretrained.change == pytest.approx(pretrained.log_losses[0] - scratch.log_losses[0])
    low, high = pretrained.interval
    assert low <= pretrained.change <= high
    assert "| hidden patches first |" in (out / "self-supervision.md").read_text()
    with pytest.raises(RecipeError, match="batch_size is 16 in the run to resume, not 8"):
        measure_self_supervision(
            patterns, 1, TINY | {"batch_size": 8}, {"epochs": 2}, None, out, "cpu"
        )


def test_a_teacher_is_added_to_kept_runs(patterns: Path, out: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(out, tmp_path / "out")
    teacher = str(mine / "scratch-0")
    found = measure_self_supervision(patterns, 1, TINY, {"epochs": 2}, teacher, mine, "cpu")
    ways = ["labels alone", "hidden patches first", "a teacher too"]
    assert [outcome.way for outcome in found.outcomes] == [*ways, f"{ways[1]}, then {ways[2]}"]
    for name, before in (("taught", "scratch"), ("both", "finetuned")):
        new, old = (RunFolder(mine / f"{each}-0").recipe().model_dump() for each in (name, before))
        changed = {name: value for name, value in new.items() if value != old[name]}
        changed.pop("weights", None)  # pretrained-0 of another folder
        assert changed == {"teacher": teacher, "teacher_weight": 0.9, "teacher_temperature": 1.0}


def test_runs_of_other_images_or_weights_are_refused(
    patterns: Path, out: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(out, tmp_path / "out")
    dataset = load_dataset(patterns)
    fewer = dataset.splits["train"].subset(range(1, len(dataset.splits["train"])))
    other = replace(dataset, splits=dataset.splits | {"train": fewer})
    with pytest.raises(DataError, match="the dataset has changed since this run began"):
        measure_self_supervision(other, 1, TINY, {"epochs": 2}, None, mine, "cpu")
    shutil.rmtree(mine / "pretrained-0")
    pretraining = {"epochs": 2, "learning_rate": 2e-3}
    with pytest.raises(FoodvisionError, match="finetuned-0: the weights have changed since"):
        measure_self_supervision(patterns, 1, TINY, pretraining, None, mine, "cpu")


def test_what_is_refused_or_interrupted(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match="mixup has no place in pretraining"):
        measure_self_supervision(patterns, pretraining={"mixup": 0.2})
    with pytest.raises(RecipeError, match="image_size cannot be set for the pretraining alone"):
        measure_self_supervision(patterns, pretraining={"image_size": 32})
    with pytest.raises(DataError, match="has no train split, only all; make one"):
        measure_self_supervision(patterns / "train")

    def interrupt(plan: object) -> None:
        raise RunInterruptedError("interrupted; resume with: foodvision train")

    monkeypatch.setattr(kept_runs, "run_plan", interrupt)
    with pytest.raises(RunInterruptedError, match="run the same command again to continue"):
        measure_self_supervision(patterns, 1, TINY, out=tmp_path / "out", device="cpu")


def test_the_table_has_the_papers_figures_beside_ours() -> None:
    outcomes = [
        Outcome("labels alone", [0.5, 0.7], [0.7, 0.8], [0.6] * 100, 61.0),
        Outcome("hidden patches first", [0.4], [0.9], [0.4] * 100, 61.0),
        Outcome("a teacher too", [0.5], [0.9], [0.1, 1.1] * 50, 61.0),
    ]
    outcomes = [outcomes[0], *(outcome.against(outcomes[0]) for outcome in outcomes[1:])]
    lines = SelfSupervision("mini", 200, 100, outcomes).table().to_text().splitlines()
    assert lines[0] == "Section 4.6 in miniature: 2 seeds, mean (lowest to highest)"
    for cell in ("labels alone", "0.600 (0.500 to 0.700)", "75.0%", "65.7% to 82.5%", "77.9%"):
        assert cell in lines[2]
    assert "-0.200 (-0.200 to -0.200)" in lines[3]
    assert "79.9%" in lines[3]
    assert re.search(r"\+0\.000 \(-0\.\d+ to \+0\.\d+\)", lines[4])
    assert "84.0%" in lines[5]
