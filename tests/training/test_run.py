from __future__ import annotations

import csv
import json
import math
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import DataError, FoodvisionError
from foodvision.evaluation import evaluate
from foodvision.images import decode
from foodvision.metrics import Metrics
from foodvision.models.vit import ViT
from foodvision.training import loss, memory
from foodvision.training.loop import Training
from foodvision.training.run import TrainingResult, train
from tests.conftest import CLASSES, write_images

FAST = {
    "image_size": 32,
    "num_layers": 2,
    "hidden_size": 48,
    "epochs": 2,
    "batch_size": 16,
    "precision": "float32",
    "optimizer": "muon",
    "learning_rate": 3e-3,
    "auto_augment": "none",
    "stochastic_depth": 0.0,
    "ema_decay": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "min_area": 0.7,
    "crop_fraction": 1.0,
}


@pytest.fixture(scope="module")
def result(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    settings = FAST | {"epochs": 12, "hidden_size": 192}
    return train(patterns, out=tmp_path_factory.mktemp("run") / "r", **settings)


def test_training_learns(result: TrainingResult, patterns: Path) -> None:
    assert result.history[-1].train_loss < 0.6 * result.history[0].train_loss
    assert evaluate(result.classifier, patterns).accuracy > 0.7


def test_folder_holds_model_history_and_splits(result: TrainingResult) -> None:
    names = {path.name for path in result.folder.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "README.md",
        "history.jsonl",
        "metrics.json",
        "split.csv",
        "curves.png",
    } <= names
    lines = [
        json.loads(line) for line in (result.folder / "history.jsonl").read_text().splitlines()
    ]
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    assert lines[-1] == result.history[-1].to_dict()
    description = json.loads((result.folder / "config.json").read_text())["foodvision"]
    assert description["recipe"]["learning_rate"] == 3e-3
    assert description["calibration"]["log_loss_after"] == result.metrics.log_loss
    assert (result.folder / "unsure.safetensors").exists()
    with (result.folder / "split.csv").open() as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    assert (splits.count("train"), splits.count("validation")) == (
        description["data"]["train"],
        description["data"]["validation"],
    )


def test_the_best_epoch_is_kept_with_the_metrics_that_evaluate_gives(
    result: TrainingResult, patterns: Path
) -> None:
    best = min(epoch.log_loss for epoch in result.history)
    calibration = result.classifier.info.calibration
    assert calibration.log_loss_before == pytest.approx(best, abs=1e-4)
    assert result.metrics.log_loss < best
    report = evaluate(TorchClassifier.load(result.folder), patterns, split="validation")
    assert report.n == result.metrics.n
    assert report.log_loss == pytest.approx(result.metrics.log_loss, abs=1e-9)
    card = (result.folder / "README.md").read_text()
    assert f"log loss {result.metrics.log_loss:.4f}" in card


def test_noise_is_not_sure(result: TrainingResult, patterns: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    noise = [
        Image.fromarray(random.integers(0, 256, (40, 48, 3), dtype=np.uint8)) for _ in range(20)
    ]
    known = sorted((patterns / "test").glob("*/*.png"))
    loaded = TorchClassifier.load(result.folder)
    sure = {
        name: np.mean([row.sure for row in loaded.predict_many(images)])
        for name, images in (("noise", noise), ("known", known))
    }
    assert sure["noise"] < sure["known"] / 2, sure


def test_same_seed_same_weights_whatever_the_workers(patterns: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    settings = FAST | {"stochastic_depth": 0.2, "dropout": 0.1, "auto_augment": "trivialaugment"}
    train(patterns, out=tmp_path / "a", **settings)
    torch.manual_seed(2)
    train(patterns, out=tmp_path / "b", num_workers=2, **settings)
    train(patterns, out=tmp_path / "c", seed=1, **settings)
    a, b, c = ((tmp_path / run / "model.safetensors").read_bytes() for run in "abc")
    assert a == b
    assert a != c


def test_training_leaves_the_callers_random_stream_alone(patterns: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(patterns, out=tmp_path / "r", **(FAST | {"epochs": 1}))
    assert torch.rand(3).equal(expected)


def test_no_test_file_is_opened(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watch every file that this process opens, Python's own included."""
    opened: list[str] = []
    watching = True

    def hook(event: str, args: tuple[object, ...]) -> None:
        if watching and event == "open":
            opened.append(str(args[0]))

    sys.addaudithook(hook)
    root = shutil.copytree(patterns, tmp_path / "d")
    opened.clear()
    train(root, out=tmp_path / "r", **(FAST | {"epochs": 1}))
    watching = False
    assert any(str(root / "train") in name for name in opened)
    assert not [name for name in opened if str(root / "test") in name]


def test_flat_folder_trains_and_validates_on_different_images(
    patterns: Path, tmp_path: Path
) -> None:
    train(patterns / "train", out=tmp_path / "r", **(FAST | {"epochs": 1}))
    with (tmp_path / "r" / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["name"] for row in rows}) == 90
    assert {row["split"] for row in rows} == {"train", "validation"}


def test_balanced_weights_leave_log_loss_unbiased(patterns: Path, tmp_path: Path) -> None:
    """On images without information, predictions must equal the true class shares."""
    from PIL import Image

    root = tmp_path / "noise"
    for label, n in (("common", 60), ("rare", 20)):
        (root / label).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (32, 32), (i % 20, 99, i // 20)).save(root / label / f"{i}.png")
    result = train(
        root,
        out=tmp_path / "r",
        class_weights="balanced",
        **(FAST | {"epochs": 6, "learning_rate": 1e-3, "label_smoothing": 0.0}),
    )
    answer = result.classifier.predict(root / "common" / "0.png").probabilities
    assert answer["common"] == pytest.approx(0.75, abs=0.1)


def test_unreadable_images_are_skipped_listed_and_counted(
    patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = shutil.copytree(patterns, tmp_path / "d")
    (root / "train" / "dots" / "bad.jpg").write_text("I am a text.")
    result = train(root, out=tmp_path / "r", **(FAST | {"epochs": 1}))
    assert "1 of 91 images cannot be opened" in caplog.text
    assert "train/dots/bad.jpg" in (tmp_path / "r" / "unreadable.csv").read_text()
    assert "1 images could not be opened" in (result.folder / "README.md").read_text()
    for i in range(6):
        (root / "train" / "dots" / f"bad{i}.jpg").touch()
    with pytest.raises(DataError, match="7 of 97 images cannot be opened"):
        train(root, out=tmp_path / "r2", **FAST)


def test_a_folder_that_is_not_empty_is_refused_before_any_work(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    monkeypatch.setattr(decode, "open_image", lambda *a, **k: pytest.fail("an image was opened"))
    with pytest.raises(FoodvisionError, match="is not empty; choose another --out"):
        train(patterns, out=tmp_path, **FAST)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    with pytest.raises(FoodvisionError, match="cannot be written"):
        train(patterns, out=tmp_path / "precious.txt" / "r", **FAST)


def test_a_diverging_run_is_one_clear_error(patterns: Path, tmp_path: Path) -> None:
    far = FAST | {"learning_rate": 1e30, "optimizer": "sgd"}
    with pytest.raises(FoodvisionError, match=r"epoch 1: .* a lower learning_rate \(it is 1e"):
        train(patterns, out=tmp_path / "r", **far)
    assert not (tmp_path / "r").exists()


def test_accumulated_batches_equal_one_large_batch(patterns: Path, tmp_path: Path) -> None:
    """Two half batches make the step of a whole one: 76 images as 2 × 38 or 4 × 19."""
    settings = FAST | {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1, "clip_norm": 1e9}
    train(patterns, out=tmp_path / "a", **(settings | {"batch_size": 38}))
    train(patterns, out=tmp_path / "b", **(settings | {"batch_size": 19, "accumulate": 2}))
    steps = [json.loads((tmp_path / run / "history.jsonl").read_text())["step"] for run in "ab"]
    assert steps == [2, 2]
    whole, halves = (TorchClassifier.load(tmp_path / run).network.state_dict() for run in "ab")
    assert whole["head.weight"].abs().max() > 1e-3
    torch.testing.assert_close(halves, whole, atol=1e-6, rtol=1e-4)


def test_the_last_batches_of_an_epoch_make_a_full_step(patterns: Path, tmp_path: Path) -> None:
    """Four batches, of eight to accumulate, make the step of one batch four times as large."""
    settings = FAST | {"epochs": 1, "min_area": 1.0, "flip": 0.0, "optimizer": "sgd"}
    settings |= {"learning_rate": 0.1, "clip_norm": 1e9}
    train(patterns, out=tmp_path / "a", **(settings | {"batch_size": 64}))
    train(patterns, out=tmp_path / "b", **(settings | {"accumulate": 8}))
    whole, parts = (TorchClassifier.load(tmp_path / run).network.head.weight for run in "ab")
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-4)


def test_some_classes_and_a_share_of_the_images(
    patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    some = {"exclude_classes": ("dots",), "fraction": 0.5, "epochs": 1}
    result = train(patterns, out=tmp_path / "r", **(FAST | some))
    assert set(result.classifier.classes) == set(CLASSES) - {"dots"}
    assert 15 < result.classifier.info.data.train < 40
    report = evaluate(result.classifier, patterns)
    assert report.n == 20
    assert "trained on 2 of 3 classes: only images of these are scored" in caplog.text
    validation = evaluate(result.classifier, patterns, "validation")
    assert validation.log_loss == pytest.approx(result.metrics.log_loss, abs=1e-9)
    with pytest.raises(FoodvisionError, match=r"fraction is 0.5 in the run"):
        train(patterns, out=tmp_path / "r", resume=True, fraction=1.0)


def test_a_model_is_scored_on_data_without_one_of_its_classes(
    patterns: Path, tmp_path: Path
) -> None:
    some = FAST | {"exclude_classes": ("dots",), "epochs": 1}
    result = train(patterns, out=tmp_path / "r", **some)
    shutil.copytree(patterns / "test", tmp_path / "d", ignore=shutil.ignore_patterns("waves"))
    assert evaluate(result.classifier, tmp_path / "d").n == 10


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_damaged_during_training_is_one_clear_error(
    workers: int, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(patterns, tmp_path / "d")
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 0)  # each image is decoded in every epoch
    steps = Training.steps

    def spoiled(self: Training):  # type: ignore[no-untyped-def]
        for path in (data / "train" / "dots").iterdir():
            path.write_bytes(b"nothing")
        return steps(self)

    monkeypatch.setattr(Training, "steps", spoiled)
    with pytest.raises(FoodvisionError, match=r"train/dots/\d+.png: ") as caught:
        train(data, out=tmp_path / "r", num_workers=workers, **FAST)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_compile_needs_a_compiler(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FoodvisionError, match="needs a C\\+\\+ compiler"):
        train(patterns, out=tmp_path / "r", device="cpu", compile=True, **FAST)
    assert not (tmp_path / "r").exists()


def test_early_stopping(patterns: Path, tmp_path: Path) -> None:
    still = FAST | {"epochs": 9, "learning_rate": 1e-12, "patience": 2}
    result = train(patterns, out=tmp_path / "r", **still)
    best = min(result.history, key=lambda epoch: epoch.log_loss).epoch
    assert len(result.history) == best + 2 < 9


def test_the_averaged_network_is_validated_and_saved(patterns: Path, tmp_path: Path) -> None:
    result = train(patterns, out=tmp_path / "a", **(FAST | {"ema_decay": 0.9}))
    plain = train(patterns, out=tmp_path / "b", **FAST)
    best = min(epoch.log_loss for epoch in result.history)
    calibration = result.classifier.info.calibration
    assert calibration.log_loss_before == pytest.approx(best, abs=1e-4)
    assert result.metrics.log_loss != pytest.approx(plain.metrics.log_loss, abs=1e-3)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile writes C++")
def test_a_compiled_network_learns_the_same(patterns: Path, tmp_path: Path) -> None:
    """In a separate process: the tests' shape checks do not compile."""
    short = FAST | {"epochs": 1, "num_layers": 1}
    plain = train(patterns, out=tmp_path / "a", **short)
    script = f"from foodvision.training.run import train; train({str(patterns)!r}, "
    script += f"out={str(tmp_path / 'b')!r}, device='cpu', compile=True, **{short})"
    subprocess.run([sys.executable, "-c", script], check=True)
    metrics = json.loads((tmp_path / "b" / "metrics.json").read_text())
    assert metrics["log_loss"] == pytest.approx(plain.metrics.log_loss, abs=1e-3)


def test_one_batch_can_be_overfitted(tmp_path: Path) -> None:
    for label in ("dots", "stripes"):
        write_images(tmp_path / "d" / "train", label, range(8))
        write_images(tmp_path / "d" / "val", label, range(90, 92))
        write_images(tmp_path / "d" / "test", label, range(80, 82))
    result = train(
        tmp_path / "d",
        out=tmp_path / "r",
        **(FAST | {"epochs": 60, "label_smoothing": 0.0, "min_area": 1.0, "flip": 0.0}),
    )
    assert result.history[-1].train_loss < 0.02


def test_training_accuracy_is_that_of_the_images_where_nothing_changes_them(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path
) -> None:
    """With one batch of all images, no augmentation and steps of no length."""
    classifier.save(tmp_path / "w")
    same = {"min_area": 1.0, "flip": 0.0, "batch_size": 200, "epochs": 1, "learning_rate": 1e-12}
    settings = FAST | same | {"optimizer": "adamw", "weights": str(tmp_path / "w")}
    for key in ("image_size", "num_layers", "hidden_size", "crop_fraction"):
        del settings[key]
    (epoch,) = train(patterns, "finetune", tmp_path / "r", **settings).history
    scored = evaluate(tmp_path / "r", patterns, "train").images
    right = [image.true == image.predicted for image in scored if image.seen == "train"]
    assert len(right) == 76
    assert epoch.train_accuracy == pytest.approx(sum(right) / 76, abs=1e-6)


def test_training_accuracy_of_mixed_images_and_weighted_classes(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label is the one with the larger share, and answers are without the classes' weights."""
    data, shares = shutil.copytree(patterns, tmp_path / "d"), []
    for path in sorted((data / "train" / "dots").iterdir())[8:]:
        path.unlink()
    whole = loss.weighted_cross_entropy

    def watched(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, s: float):  # type: ignore[no-untyped-def]
        assert weights[0] > 2 * weights[1]
        answers = (logits.softmax(dim=1) / weights).argmax(dim=1)
        shares.append((answers == targets.argmax(dim=1)).float().mean().item())
        assert 0 < (targets.max(dim=1).values < 1).float().mean() <= 1
        return whole(logits, targets, weights, s)

    monkeypatch.setattr(loss, "weighted_cross_entropy", watched)
    settings = {"mixup": 0.8, "mix_probability": 1.0, "class_weights": "balanced", "accumulate": 2}
    result = train(data, out=tmp_path / "r", **(FAST | settings | {"epochs": 3}))
    steps = len(shares) // 3
    means = [sum(shares[i * steps : (i + 1) * steps]) / steps for i in range(3)]
    assert [epoch.train_accuracy for epoch in result.history] == pytest.approx(means, abs=1e-6)


def test_a_nan_epoch_does_not_prevent_a_later_best_epoch(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nan < x is false for every x, so a kept NaN would beat every later epoch."""
    measure, epochs = Training._validate, iter(range(9))

    def first_is_nan(self: Training) -> Metrics:
        metrics = measure(self)
        return replace(metrics, log_loss=math.nan) if next(epochs) == 0 else metrics

    monkeypatch.setattr(Training, "_validate", first_is_nan)
    result = train(patterns, out=tmp_path / "r", **(FAST | {"epochs": 3}))
    best = min(epoch.log_loss for epoch in result.history[1:])
    calibration = result.classifier.info.calibration
    assert calibration.log_loss_before == pytest.approx(best, abs=1e-4)

    monkeypatch.setattr(
        Training, "_validate", lambda self: replace(measure(self), log_loss=math.nan)
    )
    with pytest.raises(FoodvisionError, match="was not a number in any epoch; lower learning_rate"):
        train(patterns, out=tmp_path / "r2", **FAST)


def test_only_steps_of_the_run_are_taken(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = ViT.forward, 0

    def counted(self: ViT, x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += self.training
        return forward(self, x)

    monkeypatch.setattr(ViT, "forward", counted)
    result = train(patterns, out=tmp_path / "r", **FAST)
    assert calls == result.history[-1].step == 8


def test_worker_processes_end_with_a_run_that_fails(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Training) -> Metrics:
        raise ValueError("in validation")

    monkeypatch.setattr(Training, "_validate", fails)
    with pytest.raises(ValueError, match="in validation") as caught:
        train(patterns, out=tmp_path / "r", num_workers=2, **FAST)
    assert caught.value.__traceback__  # the exception keeps every frame alive
    assert not multiprocessing.active_children()


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on the CPU, so that the arithmetic is the same on every machine."""
    choose: Callable[[str], torch.device] = lambda name: torch.device("cpu")  # noqa: E731
    monkeypatch.setattr("foodvision.training.run.choose_device", choose)
    monkeypatch.setattr("foodvision.classifier.torch_classifier.choose_device", choose)
