"""The head alone: a fit that converges, on features that are computed once."""

from __future__ import annotations

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from foodvision.classifier.describe import describe
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.data.inventory import take_inventory
from foodvision.errors import FoodvisionError
from foodvision.evaluation import evaluate
from foodvision.files import atomic
from foodvision.images import ImageSpec, decode
from foodvision.images.transforms import open_pixels, prepare
from foodvision.models.vit import ViT
from foodvision.probing import features as features_module
from foodvision.probing.features import FeatureCache, Features
from foodvision.probing.head import _penalised_loss, fit_head
from foodvision.training.run import train
from tests.child import run_ranks
from tests.conftest import CLASSES, build_classifier
from tests.training.test_processes import TRAIN


def gaussians(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds with very different scales, and a constant column."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    x = random.normal(size=(n, 5)) + 1.2 * np.eye(3, 5)[labels]
    x = x * [100, 1, 0.01, 1, 1] + [5, 0, 3, 0, 0]
    x[:, 4] = 7
    return x.astype(np.float32), labels


def test_the_head_equals_scikit_learns_at_the_chosen_penalty() -> None:
    train_set, validation = gaussians(300, 0), gaussians(200, 1)
    head = fit_head(train_set, validation, CLASSES, np.ones(3, dtype=np.float32))
    best = min(head.tried, key=lambda strength: strength.log_loss)
    x, labels = train_set
    mean, scale = x.mean(axis=0), np.where(x.std(axis=0) > 1e-3, x.std(axis=0), np.inf)
    sklearn = LogisticRegression(C=1 / (300 * best.l2), tol=1e-10, max_iter=10_000)
    sklearn.fit((x - mean) / scale, labels)
    expected = sklearn.predict_log_proba((validation[0] - mean) / scale)
    logits = validation[0] @ head.weight.T + head.bias
    actual = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(actual, expected, atol=3e-3)
    assert best.log_loss == pytest.approx(
        -actual[np.arange(len(actual)), validation[1]].mean(), abs=1e-9
    )
    right = sklearn.predict((x - mean) / scale) == labels
    assert best.train_accuracy == pytest.approx(right.mean(), abs=0.01)
    assert best.log_loss < 0.8
    assert (head.weight[:, 4] == 0).all()


def test_the_gradient_equals_autograd() -> None:
    x, labels = gaussians(20, 0)
    weights, theta = np.linspace(0.5, 2, 20), np.random.default_rng(1).normal(size=18)
    _, gradient = _penalised_loss(theta, x.astype(np.float64) / 100, labels, weights, 0.3)
    t = torch.tensor(theta, requires_grad=True)
    W, b = t.view(3, 6)[:, :5], t.view(3, 6)[:, 5]
    logits = torch.tensor(x / 100).double() @ W.T + b
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="none")
    ((losses * torch.tensor(weights)).mean() + 0.15 * (W**2).sum()).backward()
    np.testing.assert_allclose(gradient, t.grad.numpy(), atol=1e-5)


def test_weaker_penalties_are_skipped_once_validation_gets_worse() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(40, 30)), random.integers(0, 3, 40)
    head = fit_head(noise, (noise[0][::-1], noise[1]), CLASSES, np.ones(3, dtype=np.float32))
    losses = [strength.log_loss for strength in head.tried]
    assert len(losses) - 1 - losses.index(min(losses)) == 4
    assert len(losses) < 15


def test_separable_classes_are_fitted_at_every_penalty() -> None:
    """The loss falls with the penalty: a fixed tolerance would stop weak ones at once."""
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(100, 150)).astype(np.float32), random.integers(0, 3, 100)
    x[:, :3] += np.eye(3)[labels]
    ones = np.ones(3, dtype=np.float32)
    head = fit_head(
        (x, labels), (x, labels), CLASSES, ones
    )  # so that the weakest penalty is the best
    assert len(head.tried) == 15
    z = (x.astype(np.float64) - x.mean(axis=0)) / x.std(axis=0)
    for strength in head.tried[::2]:
        sklearn = LogisticRegression(C=1 / (100 * strength.l2), tol=1e-12, max_iter=50_000)
        losses = -sklearn.fit(z, labels).predict_log_proba(z)[np.arange(100), labels]
        assert strength.train_loss == pytest.approx(losses.mean(), rel=0.03)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return atomic.cache_folder() / "features"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    build_classifier(classes=("a", "b", "c", "d")).save(tmp_path / "weights")
    return str(tmp_path / "weights")


def probe(data: Path, out: Path, weights: str, **settings: object):  # type: ignore[no-untyped-def]
    settings = {"precision": "float32"} | settings
    return train(data, "probe", out, "cpu", weights=weights, **settings)


def test_a_probe_is_a_run_like_any_other(
    patterns: Path, tmp_path: Path, weights: str, cache: Path
) -> None:
    result = probe(patterns, tmp_path / "r", weights)
    assert result.metrics.accuracy > 0.6
    calibration = result.classifier.info.calibration
    best = min(strength.log_loss for strength in result.history)
    assert calibration.log_loss_before == pytest.approx(best, abs=1e-5)
    assert calibration.log_loss_after == result.metrics.log_loss < best
    lines = (tmp_path / "r" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["l2"] for line in lines] == [s.l2 for s in result.history]
    assert (tmp_path / "r" / "curves.png").read_bytes().startswith(b"\x89PNG")
    loaded = TorchClassifier.load(tmp_path / "r")
    assert evaluate(loaded, patterns, "validation").log_loss == pytest.approx(
        result.metrics.log_loss, abs=1e-5
    )
    begun, ended = TorchClassifier.load(weights).network, loaded.network
    for name, tensor in begun.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(tensor, ended.state_dict()[name]), name
    recipe = loaded.info.recipe
    assert (recipe["weights"], recipe["network"], recipe["method"]) == (weights, None, "probe")
    card = (tmp_path / "r/README.md").read_text()
    assert f"log loss {result.metrics.log_loss:.4f}" in card
    assert "which also chose the head's L2 penalty" in card
    how = "starting from weights, the head alone, by L-BFGS"
    assert how in card
    assert how in describe(tmp_path / "r")
    assert all(weight.requires_grad for weight in result.classifier.network.parameters())
    first = (tmp_path / "r" / "model.safetensors").read_bytes()
    shutil.rmtree(cache)
    train(patterns, out=tmp_path / "r", device="cpu", resume=True)
    assert (tmp_path / "r" / "model.safetensors").read_bytes() == first


def test_balanced_weights_leave_a_probes_log_loss_unbiased(
    patterns: Path, tmp_path: Path, weights: str, cache: Path
) -> None:
    """With one rare class, mean predictions still match the class shares."""
    data = shutil.copytree(patterns, tmp_path / "d")
    for path in sorted((data / "train" / "dots").iterdir())[8:]:
        path.unlink()
    plain = probe(data, tmp_path / "a", weights)
    balanced = probe(data, tmp_path / "b", weights, class_weights="balanced")
    for result in (plain, balanced):
        measured = evaluate(result.classifier, data, "validation")
        assert measured.log_loss == pytest.approx(result.metrics.log_loss, abs=1e-5)
    assert not torch.equal(
        plain.classifier.network.head.weight, balanced.classifier.network.head.weight
    )


class Counted:
    """Counts the images that go through networks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images, features = 0, ViT.features

        def counted(network: ViT, x: torch.Tensor) -> torch.Tensor:
            self.images += len(x)
            return features(network, x)

        monkeypatch.setattr(ViT, "features", counted)


def test_every_image_goes_through_the_network_once(
    patterns: Path, tmp_path: Path, weights: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(patterns, tmp_path / "d")
    counted = Counted(monkeypatch)
    probe(data, tmp_path / "a", weights)
    assert counted.images == 90
    again = probe(data, tmp_path / "b", f"{weights}/", seed=3)  # another split
    assert "starting from weights, " in describe(again.folder)
    assert counted.images == 90
    for i in range(4):
        shutil.copy(data / "test" / "dots" / f"{1000 + i}.png", data / "train" / "dots")
    shutil.copy(data / "train/dots/000.png", data / "train/dots/copy.png")
    probe(data, tmp_path / "c", weights)
    assert counted.images == 94
    build_classifier(ImageSpec(32, "squash"), ("a", "b")).save(tmp_path / "other spec")
    probe(data, tmp_path / "d2", str(tmp_path / "other spec"))
    assert counted.images == 94 * 2
    other = build_classifier()
    other.network.blocks[0].mlp[0].bias.data[0] += 1
    other.save(tmp_path / "other weights")
    probe(data, tmp_path / "e", str(tmp_path / "other weights"))
    assert counted.images == 94 * 3
    probe(data, tmp_path / "f", weights, precision="bf16")
    assert counted.images == 94 * 4


def test_features_are_recomputed_when_the_preprocessing_code_changes(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder() -> Path:
        features_module._image_code.cache_clear()
        classifier = build_classifier()
        return Features(classifier.network, classifier.spec, "float32", 8).cache.folder

    before = folder()
    assert folder() == before
    copied = shutil.copytree(Path(decode.__file__).parent, tmp_path / "images")
    monkeypatch.setattr(decode, "__file__", str(copied / "decode.py"))
    assert folder() == before
    with (copied / "decode.py").open("a") as file:
        file.write("# another way to open an image\n")
    assert folder() != before
    monkeypatch.undo()
    features_module._image_code.cache_clear()


def test_ctrl_c_keeps_computed_features_and_damaged_files_are_recomputed(
    patterns: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = build_classifier()
    inventory = take_inventory(load_dataset(patterns).splits["train"])
    monkeypatch.setattr(features_module, "SHARD", 32)
    features = Features(classifier.network, classifier.spec, "float32", 8)
    expected, compute, calls = features.of(inventory), Features._compute, 0
    opened = [open_pixels(image.source, classifier.spec) for image in inventory.images]
    pixels = torch.stack([prepare(image, classifier.spec) for image in opened])
    direct = classifier.network.features(pixels).detach().numpy()
    np.testing.assert_allclose(expected, direct, atol=1e-5, rtol=1e-5)
    shutil.rmtree(cache)

    def interrupted(self: Features, pixels: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return compute(self, pixels)

    monkeypatch.setattr(Features, "_compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        features.of(inventory)
    assert len(features.cache.read(inventory.sha256)) == 40
    monkeypatch.setattr(Features, "_compute", compute)
    damaged = max(features.cache.folder.glob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-5])
    np.testing.assert_array_equal(features.of(inventory), expected)
    assert "is damaged" in caplog.text
    with caplog.at_level(logging.INFO):
        features.of(inventory)
    assert "features of 90 images, 90 of them cached" in caplog.text
    assert features.compute(inventory.subset([])) == {}  # one process has no share


def test_an_unwritable_cache_is_one_clear_error_before_any_work(
    patterns: Path, tmp_path: Path, weights: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    counted = Counted(monkeypatch)
    with pytest.raises(
        FoodvisionError, match=r"features cannot be written \(.*\); fix that, or set"
    ):
        probe(patterns, tmp_path / "r", weights)
    assert counted.images == 0
    cache.unlink()
    probe(patterns, tmp_path / "r", weights)  # the same command again


def test_a_temporarily_unreadable_file_is_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = FeatureCache(cache / "x")
    features.add({"00" * 32: np.ones(3, dtype=np.float32)})

    def too_many(path: Path) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(features_module, "load_file", too_many)
        assert features.read({"00" * 32}) == {}
    assert features.read({"00" * 32, "11" * 32}).keys() == {"00" * 32}


def test_several_processes_can_cache_the_same_features(cache: Path) -> None:
    rows = {f"{i:064x}": np.full(64, i, dtype=np.float32) for i in range(500)}

    def write(_: int) -> None:
        for _ in range(10):
            FeatureCache(cache / "x").add(rows)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = FeatureCache(cache / "x").read(rows.keys())
    assert all((found[digest] == row).all() for digest, row in rows.items())


def test_non_finite_features_are_one_clear_error(
    patterns: Path, tmp_path: Path, cache: Path
) -> None:
    broken = build_classifier(classes=("a", "b"))
    broken.network.blocks[0].mlp[0].bias.data[:] = 3e38  # finite, and infinite when added up
    broken.save(tmp_path / "w")
    with pytest.raises(FoodvisionError, match="features are not finite numbers: its weights are"):
        probe(patterns, tmp_path / "r", str(tmp_path / "w"))
    assert not list(cache.glob("*/*.safetensors"))


def test_two_processes_each_compute_half_of_the_features(
    patterns: Path, tmp_path: Path, weights: str, cache: Path
) -> None:
    words = ["--recipe", "probe", "--weights", weights, "--set", "precision=float32"]
    command = ["train", str(patterns), "--out", str(tmp_path / "two"), "--device", "cpu", *words]
    ended = run_ranks([tmp_path, tmp_path], TRAIN, *command)
    assert [rank.returncode for rank in ended] == [0, 0], ended
    assert len(list(cache.glob("*/*.safetensors"))) == 4  # two shares of two splits
    one = probe(patterns, tmp_path / "one", weights)
    two = TorchClassifier.load(tmp_path / "two", "cpu")
    torch.testing.assert_close(two.network.head.weight, one.classifier.network.head.weight)
