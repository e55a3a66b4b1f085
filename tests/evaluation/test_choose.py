from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import foodvision as fv
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data.splits import training_splits
from foodvision.errors import DataError, ModelError
from foodvision.evaluation import choose, speed
from foodvision.probing.features import Features
from tests.conftest import CLASSES, build_classifier
from tests.data.streams import write_stream


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(speed, "MAX_IMAGES", 2)
    monkeypatch.setattr(speed, "ROUNDS", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def candidates(tmp_path: Path) -> list[str]:
    """A network that sees nothing, and one with random weights, which sees something."""
    blind, seeing = build_classifier(), build_classifier()
    with torch.no_grad():
        for parameter in blind.network.stages()[-1].parameters():
            parameter.zero_()
    for name, classifier in (("blind", blind), ("seeing", seeing)):
        classifier.save(tmp_path / name)
    return [str(tmp_path / "blind"), str(tmp_path / "seeing")]


def test_the_network_that_sees_is_first_and_no_test_image_is_opened(
    candidates: list[str], tmp_path: Path
) -> None:
    data, random = tmp_path / "data", np.random.default_rng(0)
    for label, colour in zip(CLASSES, ((200, 60, 60), (60, 200, 60), (60, 60, 200)), strict=True):
        (data / "train" / label).mkdir(parents=True)
        for i in range(20):
            noisy = np.clip(random.normal(colour, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(data / "train" / label / f"{i}.png")
        (data / "test" / label).mkdir(parents=True)
        (data / "test" / label / "1.png").write_bytes(b"no image: opening it would fail")

    result = choose(data, candidates, "cpu")

    best, other = result.candidates
    assert [best.weights, other.weights] == candidates[::-1]
    assert result.n == 60
    # A network that sees nothing guesses: log 3.
    assert other.log_loss == pytest.approx(np.log(3), abs=0.05)
    assert other.log_loss - best.log_loss == pytest.approx(other.behind_best)
    assert best.behind_best == 0
    assert other.behind_best_interval[0] > 0
    assert best.log_loss_interval[0] < best.log_loss < best.log_loss_interval[1]
    assert best.parameters == TorchClassifier.load(candidates[1]).info.parameters
    assert result.command("d").endswith(f"train d --recipe probe --weights {best.weights}")
    assert "unknown" in result.summary()


def test_a_bad_source_is_named_before_an_image_is_opened(
    candidates: list[str], patterns: Path
) -> None:
    with pytest.raises(ModelError, match="nosuch"):
        choose(patterns, [*candidates, "nosuch/weights.pth"], "cpu")


def test_a_dataset_without_training_images(candidates: list[str], patterns: Path) -> None:
    dataset = fv.load_dataset(patterns)
    del dataset.splits["train"]
    with pytest.raises(DataError, match="has no training images, only test"):
        choose(dataset, candidates, "cpu")


def test_too_few_images_are_said_before_features_are_computed(
    candidates: list[str], patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(patterns, tmp_path / "data")
    for file in (data / "train" / CLASSES[0]).iterdir():
        file.write_bytes(b"no image")
    monkeypatch.setattr(Features, "of", None)  # using it would fail
    with pytest.raises(DataError, match=f"class {CLASSES[0]} has 0 different images"):
        choose(data, candidates, "cpu")


def test_weights_of_a_run_that_has_seen_the_images_are_said_to_look_too_good(
    candidates: list[str], patterns: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    data = shutil.copytree(patterns, tmp_path / "data")
    (data / "train" / CLASSES[0] / "bad.png").write_bytes(b"no image")
    splits = training_splits(fv.load_dataset(patterns), 0, 0.2)
    (Path(candidates[1]) / "split.csv").write_text(splits.to_csv())
    result = choose(data, candidates, "cpu")
    seen = {row.weights: row.seen for row in result.candidates}
    assert seen == {candidates[0]: 0, candidates[1]: result.n}
    assert f"{candidates[1]} was trained on or chosen by {result.n} of these" in result.summary()
    assert f"{candidates[0]} was trained" not in result.summary()
    assert (
        "1 of 91 images cannot be opened and are left out, the first is train/dots/bad.png"
        in caplog.text
    )


def test_a_stream_is_refused_before_weights_are_read(tmp_path: Path) -> None:
    address = write_stream(tmp_path / "data")
    (tmp_path / "data" / "test.parquet").unlink()  # the one that cannot be read
    with pytest.raises(DataError, match="a stream cannot be chosen for"):
        fv.choose(address, ["nowhere"])
