from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.data.splits import to_csv
from foodvision.drawings.draw import draw_image
from foodvision.errors import FoodvisionError, ModelError
from foodvision.images import ImageSpec
from foodvision.models.library import LibraryNetwork
from foodvision.models.library_config import LibraryConfig
from foodvision.paper import course, course_data
from foodvision.paper.course import run_course
from foodvision.paper.course_data import course_cut
from foodvision.paper.course_figures import MINI, ORIGINALS
from tests.conftest import build_classifier

RECIPE = """
network = "vit_ti8"
image_size = 16
num_layers = 1
batch_size = 16
epochs = 2
method = "scratch"
precision = "float32"
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write to it."""
    root = tmp_path_factory.mktemp("course") / "drawings"
    for split, seeds in {"train": range(11), "test": range(11, 25)}.items():
        for name in MINI:
            (root / split / name).mkdir(parents=True)
            for seed in seeds:
                draw_image(name, seed).resize((32, 32)).save(root / split / name / f"{seed}.png")
    return root


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tiny networks in place of the two recipes from scratch, and few images."""
    counts = {"10 %": (10, (11, 12, 13)), "20 %": (20, (20, 20, 20))}
    for name, (known, held_out) in counts.items():
        monkeypatch.setitem(course_data.TRAIN, name, dict.fromkeys(MINI, known))
        monkeypatch.setitem(course_data.TEST, name, dict(zip(MINI, held_out, strict=True)))
    (tmp_path / "tiny.toml").write_text(RECIPE)
    for name in ("THEIR_RECIPE", "OUR_RECIPE"):
        monkeypatch.setattr(course, name, str(tmp_path / "tiny.toml"))
    monkeypatch.setattr(course, "SEEDS", (0, 1))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("weights")
    build_classifier().save(folder / "vit")
    build_classifier(ImageSpec(384)).save(folder / "vit_384")
    with torch.random.fork_rng():
        network = LibraryNetwork(LibraryConfig("mobilenet_v3_small", 32, 2))
    TorchClassifier(network, ImageSpec(32), ("a", "b")).save(folder / "cnn")
    return {name: str(folder / name) for name in ("vit", "vit_384", "cnn")}


@pytest.mark.usefixtures("quick")
def test_from_scratch_both_ways_beside_the_original(
    drawn: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "foodvision")
    names, out = ["scratch_course", "scratch"], tmp_path / "out"
    found = run_course(drawn, experiments=names, out=out, device="cpu")
    assert [(row.original.name, row.model) for row in found.rows] == [
        ("scratch_course", "after epoch 2"),
        ("scratch", "seed 0"),
        ("scratch", "seed 1"),
    ]
    (epochs,) = found.epochs.values()
    assert found.rows[0].ours == epochs[-1].score
    for row in found.rows:
        assert row.ours.n == 36
        assert row.original.score.accuracy == 0.2604
        assert row.why.startswith("a cut of drawings; ")
    saved = json.loads((out / "course.json").read_text())
    assert saved == json.loads(json.dumps(found.to_dict()))
    assert sum(saved["epochs"]["scratch_course"][0]["answers"].values()) == 36
    for text in (found.summary(), (out / "course.md").read_text()):
        assert "1.2389" in text
        assert "25/75" in text
        assert "of 2 epochs" in text
    assert "the course's recipe: scratch_course" in caplog.text
    # Runs are kept.
    begun = [path.stat().st_mtime_ns for path in out.glob("*/recipe.json")]
    monkeypatch.setattr(course, "SEEDS", (1,))
    again = run_course(drawn, experiments=["scratch"], out=out, device="cpu")
    assert again == replace(found, rows=[found.rows[2]], epochs={})
    assert begun == [path.stat().st_mtime_ns for path in out.glob("*/recipe.json")]


@pytest.mark.usefixtures("quick")
def test_weights_go_to_the_experiments_of_their_kind(
    drawn: Path, weights: dict[str, str], tmp_path: Path
) -> None:
    names = ["frozen_10", "swag_384", "effnetb2_20", "big_vit"]
    sources = [*weights.values()]
    found = run_course(drawn, sources, names, tmp_path / "out", "cpu")
    rows = {row.original.name: row for row in found.rows}
    assert list(rows) == names
    assert (rows["frozen_10"].model, rows["frozen_10"].ours.n) == ("vit", 36)
    assert "vit in place of torchvision:vit_b_16/IMAGENET1K_V1" in rows["frozen_10"].why
    assert "ten epochs of Adam at 1e-3" in rows["frozen_10"].why
    for name, missing in (
        ("swag_384", "drawings has 11 train images of pizza, not 20"),
        ("effnetb2_20", "drawings has 11 train images of pizza, not 20"),
        ("big_vit", "drawings has 3 classes, not Food-101's 101"),
    ):
        assert (rows[name].ours, rows[name].model, rows[name].why) == (None, "not run", missing)
    assert "not run" in found.summary()


def test_kinds_of_weights(weights: dict[str, str]) -> None:
    kinds = course._by_kind(weights.values())
    assert kinds == {source: name for name, source in weights.items()}
    with pytest.raises(ModelError, match="nowhere: no such file"):
        course._by_kind(["nowhere"])


@pytest.mark.usefixtures("quick")
def test_weights_that_know_the_test_images_are_named(drawn: Path, tmp_path: Path) -> None:
    """A run on a dataset that holds half of them."""
    known = [path for path in sorted(drawn.glob("test/*/*")) if int(path.stem) % 2]
    rows = [("a", "b", hashlib.sha256(path.read_bytes()).hexdigest(), "train") for path in known]
    build_classifier().save(tmp_path / "run")
    (tmp_path / "run" / "split.csv").write_text(to_csv(rows))
    found = run_course(drawn, [str(tmp_path / "run")], ["frozen_10"], tmp_path / "out", "cpu")
    cut, _ = course_cut(load_dataset(drawn), found.rows[0].original)
    count = sum(int(Path(name).stem) % 2 for name in cut.splits["test"].names())
    assert 0 < count < 36
    assert f"run was trained on or chosen by {count} of these test images" in found.rows[0].why


def test_a_published_file_is_named_as_published(tmp_path: Path) -> None:
    name = course._published_name(str(tmp_path / "vit_b_16-c867db91.pth"))
    assert name == "torchvision:vit_b_16/IMAGENET1K_V1"
    assert course._published_name("hub:google/vit") == "hub:google/vit"
    assert course._published_name(str(tmp_path)) == tmp_path.name


@pytest.mark.usefixtures("quick")
def test_why_trains_with_each_change(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "CHANGES", {"warm-up": {"warmup_fraction": 0.3}})
    found = run_course(drawn, (), ["scratch_why"], tmp_path / "out", "cpu")
    assert list(found.epochs) == ["scratch_course", "warm-up"]
    assert found.epochs["scratch_course"] != found.epochs["warm-up"]
    assert [row.original.name for row in found.rows] == ["scratch_course"]
    assert "scratch_course with warm-up" in found.summary()


@pytest.mark.usefixtures("quick")
def test_errors(drawn: Path, patterns: Path, tmp_path: Path) -> None:
    with pytest.raises(FoodvisionError, match="no experiment 'vit': there are scratch_course"):
        run_course(drawn, experiments=["vit"], out=tmp_path / "a")
    with pytest.raises(FoodvisionError, match=r"nothing can be run: patterns.* has no class pizza"):
        run_course(patterns, experiments=["frozen_10"], out=tmp_path / "a")
    with pytest.raises(FoodvisionError, match="nothing can be run: give --weights torchvision:vit"):
        run_course(drawn, experiments=["frozen_10"], out=tmp_path / "a")


def test_every_experiment_has_a_name_of_its_own() -> None:
    names = [original.name for original in ORIGINALS]
    assert len(set(names)) == len(names)
