from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from foodvision.data import load_dataset
from foodvision.errors import DataError, FoodvisionError, RecipeError, RunInterruptedError
from foodvision.paper import data_size, kept_runs
from foodvision.paper.data_size import measure_data_sizes
from foodvision.paper.data_size_table import Cut, DataSizes, Point
from tests.conftest import draw_pattern

TINY = {"image_size": 16, "num_layers": 1, "epochs": 1, "batch_size": 8, "precision": "float32"}
TRANSFER = """
method = "finetune"
epochs = 1
batch_size = 4
layer_decay = 0.5
precision = "float32"
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class that `patterns` has, and one that it has not; do not write to it."""
    root = tmp_path_factory.mktemp("data-size") / "target"
    for split, seeds in {"train": range(2000, 2008), "test": range(3000, 3003)}.items():
        for name in ("plain", "waves"):
            (root / split / name).mkdir(parents=True)
            for seed in seeds:
                image = draw_pattern("waves", seed)
                if name == "plain":
                    image = Image.new("RGB", (40, 40), image.getpixel((0, 0)))
                image.save(root / split / name / f"{seed}.png")
    return root


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TRANSFER)
    monkeypatch.setattr(data_size, "TRANSFER", str(tmp_path / "tiny.toml"))
    monkeypatch.chdir(tmp_path)


def _images(run: Path) -> dict[str, set[str]]:
    with (run / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        "images": {row["sha256"] for row in rows if row["split"] == "train"},
        "classes": {row["class"] for row in rows},
    }


def test_cuts_grow_without_the_classes_to_transfer_to(patterns: Path, target: Path) -> None:
    found = measure_data_sizes(
        patterns, target, [1, 0.5, 0], [24], settings=TINY, out="out", device="cpu"
    )
    assert [point.cut for point in found.points] == [(24, 0, 0), (24, 0.5, 0), (24, 1, 0)]
    assert [point.n for point in found.points] == [6] * 3
    none, half, whole = found.points
    assert none.images == 0 < half.images < whole.images
    assert (none.pretraining_accuracy, none.seconds) == (None, 0)
    assert whole.pretraining_accuracy is not None
    of_half, of_whole = (_images(Path("out") / f"24-{share}-0") for share in ("0.5", "1"))
    assert of_half["images"] < of_whole["images"]
    assert len(of_whole["images"]) == whole.images
    assert (
        of_whole["classes"]
        == {"dots", "stripes"}
        == set(load_dataset(patterns).classes) - {"waves"}
    )
    recipes = {
        share: json.loads(Path(f"out/24-{share}-0-finetuned/recipe.json").read_text())["recipe"]
        for share in ("0", "1")
    }
    assert recipes["1"].pop("weights").endswith("24-1-0")
    assert recipes["0"].pop("weights").endswith("24-0-0")
    assert recipes["0"].pop("layer_decay") == 1  # there is nothing to preserve in its layers
    assert recipes["1"].pop("layer_decay") == 0.5
    assert recipes["0"] == recipes["1"]
    assert found.classes == 2
    saved = json.loads(Path("out/data-size.json").read_text())
    assert saved == json.loads(json.dumps(found.to_dict()))
    assert saved["points"][1]["cut"] == {"width": 24, "fraction": 0.5, "seed": 0}
    assert Path("out/data-size.png").stat().st_size
    assert "| 24 | 50 % |" in Path("out/data-size.md").read_text()


def test_runs_are_kept_and_other_settings_refused(
    patterns: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (patterns, target, [0.5], [24, 48], 1)
    first = measure_data_sizes(*arguments, TINY, "out", "cpu")
    assert first.points[1].parameters > 3 * first.points[0].parameters
    begun = {path: path.stat().st_mtime_ns for path in Path("out").glob("*/recipe.json")}
    monkeypatch.setattr(kept_runs, "run_plan", None)  # calling it would fail
    again = measure_data_sizes(*arguments, TINY, "out", "cpu")
    assert again == first
    assert len(begun) == 4
    assert begun == {path: path.stat().st_mtime_ns for path in begun}
    with pytest.raises(RecipeError, match=r"batch_size is 8 in the run to resume, not 4"):
        measure_data_sizes(*arguments, TINY | {"batch_size": 4}, "out", "cpu")
    with pytest.raises(RecipeError, match=r"24-0.5-0: is a run of fewer epochs; choose another"):
        measure_data_sizes(*arguments, TINY | {"epochs": 2}, "out", "cpu")


def test_what_was_measured_is_written_before_an_interruption(
    patterns: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(plan: object) -> None:
        if "0.5" in str(plan.folder.path):  # type: ignore[attr-defined]
            raise RunInterruptedError("interrupted; resume with: foodvision train")
        run_plan(plan)  # type: ignore[arg-type]

    run_plan = kept_runs.run_plan
    monkeypatch.setattr(kept_runs, "run_plan", interrupt)
    with pytest.raises(RunInterruptedError, match="run the same command again to continue"):
        measure_data_sizes(patterns, target, [0, 0.5], [24], 1, TINY, "out", "cpu")
    (point,) = json.loads(Path("out/data-size.json").read_text())["points"]
    assert point["images"] == 0


def test_what_is_refused(patterns: Path, target: Path) -> None:
    with pytest.raises(FoodvisionError, match=r"fraction 1\.5: it must be in 0 to 1"):
        measure_data_sizes(patterns, target, [1.5])
    with pytest.raises(RecipeError, match="hidden_size 25 is not a multiple of num_heads 3"):
        measure_data_sizes(patterns, target, widths=[25])
    with pytest.raises(DataError, match="fewer than two classes to pretrain on are not in"):
        measure_data_sizes(target, patterns)
    flat = target / "train"
    with pytest.raises(DataError, match="has no train split, only all; make one"):
        measure_data_sizes(patterns, flat)


def test_the_table_has_mean_and_range_of_the_seeds() -> None:
    points = [
        Point(Cut(96, 0.1, seed), 100, 1000, 50, 0.5 + seed / 10, 0.8, (0.7, 0.9), 0.6, 0.3, 61.0)
        for seed in (0, 1)
    ]
    found = DataSizes("big", 98, "mini", 5, points)
    text = found.table().to_text().splitlines()
    assert text[1].split()[:3] == ["width", "share", "images"]
    for cell in ("10 %", "0.550 (0.500 to 0.600)", "80.0% (80.0% to 80.0%)", "2 minutes"):
        assert cell in text[2]
    assert "2 seeds: mean (lowest to highest)" in text[3]
    assert "98 classes, none of them of mini" in text[3]
