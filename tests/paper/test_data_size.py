from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from PIL import Image

from foodvision.data import Dataset, load_dataset
from foodvision.errors import DataError, FoodvisionError, RecipeError, RunInterruptedError
from foodvision.paper import data_size, data_size_table, kept_runs
from foodvision.paper.data_size import measure_data_sizes
from foodvision.paper.data_size_table import Cut, DataSizes, Point
from foodvision.paper.plots import plot_by_images
from foodvision.training import run as training
from foodvision.training.plan import Plan
from tests.conftest import draw_pattern

TINY = {"image_size": 16, "num_layers": 1, "epochs": 1, "batch_size": 8, "precision": "float32"}
TRANSFER = """
method = "finetune"
epochs = 1
batch_size = 4
layer_decay = 0.5
precision = "float32"
"""
CUTS = ([1, 0.5, 0], [24])
"""Fractions and widths."""

Begun: TypeAlias = tuple[DataSizes, Path]


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


@pytest.fixture(autouse=True, scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A short transfer, and no charts of the runs."""
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    recipe.write_text(TRANSFER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_size, "TRANSFER", str(recipe))
        patch.setattr(training, "plot_history", lambda *_: None)
        patch.setattr(data_size_table, "plot_by_images", lambda panels, label, path: path.touch())
        yield


@pytest.fixture(scope="module")
def begun(patterns: Path, target: Path, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """What was measured, and the folder; do not write to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("begun"))
        found = measure_data_sizes(patterns, target, *CUTS, settings=TINY, out="out", device="cpu")
        return found, Path("out").absolute()


@pytest.fixture
def out(begun: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of finished runs, elsewhere; a run that begins is an error."""
    monkeypatch.setattr(kept_runs, "run_plan", _begin)
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(begun[1], tmp_path / "moved")


def _begin(plan: Plan) -> None:
    raise RunInterruptedError(plan.folder.path.name)


def _images(run: Path) -> dict[str, set[str]]:
    with (run / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        "images": {row["sha256"] for row in rows if row["split"] == "train"},
        "classes": {row["class"] for row in rows},
    }


def _without_an_image(dataset: Dataset, split: str) -> Dataset:
    images = dataset.splits[split]
    fewer = images.subset(range(1, len(images)))
    return replace(dataset, splits=dataset.splits | {split: fewer})


def test_cuts_grow_without_the_classes_to_transfer_to(patterns: Path, begun: Begun) -> None:
    found, out = begun
    assert [point.cut for point in found.points] == [(24, 0, 0), (24, 0.5, 0), (24, 1, 0)]
    assert [point.n for point in found.points] == [6] * 3
    none, half, whole = found.points
    assert none.images == 0 < half.images < whole.images
    assert (none.pretraining_accuracy, none.seconds) == (None, 0)
    assert whole.pretraining_accuracy is not None
    of_half, of_whole = (_images(out / f"24-{share}-0") for share in ("0.5", "1"))
    assert of_half["images"] < of_whole["images"]
    assert len(of_whole["images"]) == whole.images
    assert (
        of_whole["classes"]
        == {"dots", "stripes"}
        == set(load_dataset(patterns).classes) - {"waves"}
    )
    recipes = {
        share: json.loads((out / f"24-{share}-0-finetuned/recipe.json").read_text())["recipe"]
        for share in ("0", "1")
    }
    assert recipes["1"].pop("weights").endswith("24-1-0")
    assert recipes["0"].pop("weights").endswith("24-0-0")
    assert recipes["0"].pop("layer_decay") == 1  # there is nothing to preserve in its layers
    assert recipes["1"].pop("layer_decay") == 0.5
    assert recipes["0"] == recipes["1"]
    assert found.classes == 2
    saved = json.loads((out / "data-size.json").read_text())
    assert saved == json.loads(json.dumps(found.to_dict()))
    assert saved["points"][1]["cut"] == {"width": 24, "fraction": 0.5, "seed": 0}
    assert "| 24 | 50 % |" in (out / "data-size.md").read_text()


def test_runs_are_kept_in_a_folder_that_has_moved(
    patterns: Path, target: Path, begun: Begun, out: Path
) -> None:
    again = measure_data_sizes(patterns, target, *CUTS, settings=TINY, out=out, device="cpu")
    assert again == begun[0]
    (out / "24-1-0-finetuned" / "metrics.json").unlink()  # as of an interrupted run
    with pytest.raises(RunInterruptedError) as why:
        measure_data_sizes(patterns, target, [1], [24], settings=TINY, out=out, device="cpu")
    assert str(why.value.__cause__) == "24-1-0-finetuned"


def test_each_network_is_counted_once(patterns: Path, target: Path, out: Path) -> None:
    found = measure_data_sizes(patterns, target, [0, 0], [24, 24], 1, TINY, out, "cpu")
    assert [point.cut for point in found.points] == [(24, 0, 0)]


@pytest.mark.parametrize("fraction", [0, 1])
def test_runs_of_other_settings_are_refused(
    patterns: Path, target: Path, out: Path, fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = [fraction], [24], 1
    for name, value in {"batch_size": 4, "epochs": 2, "num_layers": 2}.items():
        with pytest.raises(
            RecipeError, match=f"moved: its runs differ from these in {name}; choose another"
        ):
            measure_data_sizes(patterns, target, *cuts, TINY | {name: value}, out, "cpu")
    monkeypatch.setattr(data_size, "TRANSFER", "finetune")
    with pytest.raises(RecipeError, match="its runs differ from these in transfer recipe"):
        measure_data_sizes(patterns, target, *cuts, TINY, out, "cpu")
    (out / "shared.json").unlink()
    with pytest.raises(
        FoodvisionError, match=r"shared\.json: No such file .*; choose another --out"
    ):
        measure_data_sizes(patterns, target, *cuts, TINY, out, "cpu")


def test_runs_of_other_images_are_refused(patterns: Path, target: Path, out: Path) -> None:
    source, to = load_dataset(patterns), load_dataset(target)
    for split in ("train", "test"):
        fewer = _without_an_image(to, split)
        with pytest.raises(
            RecipeError, match="its runs differ from these in transfer images; choose another"
        ):
            measure_data_sizes(source, fewer, [0], [24], 1, TINY, out, "cpu")
    fewer = _without_an_image(source, "train")
    with pytest.raises(
        RecipeError, match="its runs differ from these in pretraining images; choose another"
    ):
        measure_data_sizes(fewer, to, [1], [24], 1, TINY, out, "cpu")


def test_a_transfer_of_another_network_is_refused(patterns: Path, target: Path, out: Path) -> None:
    """Before any run begins: the first one would be that of width 12."""
    arguments = (patterns, target, [1], [12, 24], 1, TINY, out, "cpu")
    shutil.copy(out / "24-0.5-0" / "model.safetensors", out / "24-1-0")
    with pytest.raises(FoodvisionError, match="24-1-0-finetuned: the weights have changed since"):
        measure_data_sizes(*arguments)
    shutil.rmtree(out / "24-1-0")
    with pytest.raises(FoodvisionError, match=r"24-1-0: is missing; delete .*24-1-0-finetuned$"):
        measure_data_sizes(*arguments)


def test_every_run_is_planned_before_the_first_begins(
    patterns: Path, target: Path, out: Path
) -> None:
    (out / "36-1-0").mkdir()
    (out / "36-1-0" / "notes.txt").touch()
    with pytest.raises(FoodvisionError, match="36-1-0: is not empty; choose another --out"):
        measure_data_sizes(patterns, target, [0, 1], [12, 36], 1, TINY, out, "cpu")


def test_what_was_measured_is_written_before_an_interruption(
    patterns: Path, target: Path, out: Path
) -> None:
    """Pretraining comes first: what it may refuse at its beginning, such as a tracker."""
    (out / "data-size.json").unlink()
    shutil.rmtree(out / "24-0-0-finetuned")
    with pytest.raises(RunInterruptedError, match="run the same command again to continue") as why:
        measure_data_sizes(patterns, target, [0, 0.5], [24], 1, TINY, out, "cpu")
    assert str(why.value.__cause__) == "24-0-0-finetuned"
    (point,) = json.loads((out / "data-size.json").read_text())["points"]
    assert point["cut"]["fraction"] == 0.5


def test_the_usual_folder_names_both_datasets(patterns: Path, target: Path, out: Path) -> None:
    with pytest.raises(RunInterruptedError):
        measure_data_sizes(patterns, target, [1], [24], 1, TINY, device="cpu")
    name = f"{load_dataset(patterns).name}-to-target-data-size"
    assert [path.name for path in Path("runs").iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("seed", "--seeds"),
        ("fraction", "--fraction"),
        ("hidden_size", "--width"),
        ("classes", "--to"),
        ("exclude_classes", "--to"),
    ],
)
def test_settings_that_arguments_decide_are_refused(name: str, argument: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} cannot be set here: {argument} sets it"):
        measure_data_sizes("nowhere", "nowhere", settings={name: "1"})


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


def test_the_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: Begun) -> None:
    monkeypatch.setattr(data_size_table, "plot_by_images", plot_by_images)
    begun[0].save(tmp_path)
    assert (tmp_path / "data-size.png").stat().st_size


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
