from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.errors import DataError
from foodvision.evaluation.calibrate import calibrate, fit_temperature, sample
from foodvision.evaluation.unsure import fit_unsure, limits
from foodvision.images import open_image
from foodvision.metrics import log_loss_of_each
from tests.conftest import build_classifier


def drawn_labels(logits: np.ndarray, T: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.array([random.choice(len(p), p=p) for p in softmax(logits / T, axis=1)])


@pytest.mark.parametrize("T", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(T: float) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (20_000, 4))
    assert fit_temperature(logits, drawn_labels(logits, T)) == pytest.approx(T, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_validation_log_loss_is_never_worse(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits, labels = random.normal(0, 5, (7, 3)), random.integers(0, 3, 7)
    T = fit_temperature(logits, labels)
    assert log_loss_of_each(logits / T, labels).sum() <= log_loss_of_each(logits, labels).sum()


def test_temperature_stays_finite_when_all_answers_are_right_or_equal() -> None:
    right = 3 * np.eye(3).repeat(30, axis=0)
    assert 0.05 < fit_temperature(right, right.argmax(1)) < 1
    assert 1 < fit_temperature(1000 * right, (right.argmax(1) + 1) % 3) < 200
    assert fit_temperature(np.zeros((9, 3)), np.arange(9) % 3) == 1


def test_the_head_is_scaled_once_and_answers_stay(patterns: Path) -> None:
    classifier, before = build_classifier(), build_classifier()
    splits = load_dataset(patterns).splits
    metrics = calibrate(classifier, splits["train"], splits["test"])
    calibration = classifier.info.calibration
    assert calibration.n == metrics.n == 30
    assert metrics.log_loss == calibration.log_loss_after < calibration.log_loss_before
    assert metrics.ece == calibration.ece_after
    sources = [example.source for example in splits["test"]]
    old, new = (np.stack(list(c.logits(sources))) for c in (before, classifier))
    np.testing.assert_allclose(new * calibration.temperature, old, rtol=1e-4, atol=1e-5)
    assert (old.argmax(1) == new.argmax(1)).all()

    weights = classifier.network.head.weight.clone()
    assert calibrate(classifier, splits["train"], splits["test"]) == metrics
    assert torch.equal(classifier.network.head.weight, weights)
    assert classifier.info.calibration == calibration


def test_a_model_from_before_gets_what_it_lacks(patterns: Path) -> None:
    """A calibration without limits keeps its temperature."""
    classifier = build_classifier()
    splits = load_dataset(patterns).splits
    calibrate(classifier, splits["train"], splits["test"])
    fitted, classifier.unsure = classifier.unsure, None
    weights = classifier.network.head.weight.clone()
    calibrate(classifier, splits["train"], splits["test"])
    assert torch.equal(classifier.network.head.weight, weights)
    assert torch.equal(classifier.unsure.principal, fitted.principal)


def test_other_classes_are_refused(patterns: Path) -> None:
    splits = load_dataset(patterns).splits
    with pytest.raises(DataError, match="waves"):
        calibrate(build_classifier(classes=("dots", "x", "y")), splits["train"], splits["test"])


def test_few_training_images_are_looked_at() -> None:
    chosen = sample(50_000)
    assert len(set(chosen.tolist())) == 2000
    assert (chosen == sample(50_000)).all()
    assert sample(5).tolist() == [0, 1, 2, 3, 4]


def test_limits_accept_95_percent_together() -> None:
    random = np.random.default_rng(0)
    top, distance = random.uniform(size=1000), random.normal(size=1000)
    probability, far = limits(top, distance)
    assert ((top >= probability) & (distance <= far)).mean() == pytest.approx(0.95, abs=0.001)
    assert (top < probability).sum() == pytest.approx((distance > far).sum(), abs=1)
    probability, far = limits(top[:5], distance[:5])
    assert (top[:5] >= probability).all()
    assert (distance[:5] <= far).all()


def head_and_features() -> tuple[torch.nn.Linear, np.ndarray, np.ndarray]:
    """Features that vary in 3 of 20 directions, whose classes a head knows."""
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(20, 20)))[0]
    spread = np.array([5.0] * 3 + [0.1] * 17)
    train, validation = (
        (random.normal(size=(n, 20)) * spread @ basis.T).astype(np.float32) for n in (500, 200)
    )
    head = torch.nn.Linear(20, 3)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(basis[:, :3].T))
        head.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    return head, train, validation


def test_features_outside_the_training_subspace_are_unfamiliar() -> None:
    head, train, validation = head_and_features()
    unsure = fit_unsure(head, train, validation)
    with torch.no_grad():
        y = torch.from_numpy(validation)
        known = unsure(y, head(y))
        other = y + 3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
        strange = unsure(other, head(other))
    assert (known > unsure.max_distance).float().mean() <= 0.05
    assert (strange > unsure.max_distance).float().mean() > 0.95
    assert roc_auc_score(np.repeat([0, 1], 200), torch.cat([known, strange])) > 0.99


def test_what_is_added_to_all_logits_changes_nothing() -> None:
    """Softmax does not see it: the bias of a head may be anywhere."""
    head, train, validation = head_and_features()
    unsure = fit_unsure(head, train, validation)
    with torch.no_grad():
        head.bias.sub_(100)
    shifted = fit_unsure(head, train, validation)
    assert shifted.scale == pytest.approx(unsure.scale, rel=1e-3)
    assert shifted.max_distance == pytest.approx(unsure.max_distance, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_features_without_any_spread_give_finite_limits(value: float) -> None:
    same = np.full((30, 20), value, dtype=np.float32)
    unsure = fit_unsure(torch.nn.Linear(20, 3), same, same)
    assert np.isfinite([unsure.scale, unsure.min_probability, unsure.max_distance]).all()


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_sure_is_the_same_after_saving(patterns: Path, tmp_path: Path) -> None:
    classifier, splits = build_classifier(), load_dataset(patterns).splits
    images = [open_image(example.source, 32) for example in splits["test"]] + [noise(0)]
    assert {row.sure for row in classifier.predict_many(images)} == {None}
    calibrate(classifier, splits["train"], splits["test"])
    rows = list(classifier.predict_many(images))
    assert np.mean([row.sure for row in rows[:30]]) >= 0.95
    classifier.save(tmp_path)
    loaded = TorchClassifier.load(tmp_path, "cpu")
    assert list(loaded.predict_many(images)) == rows
    assert [loaded.predict(image).sure for image in images] == [row.sure for row in rows]
    assert loaded.info.calibration == classifier.info.calibration

    # A threshold replaces the probability's part alone.
    assert {row.sure for row in loaded.predict_many(images, threshold=1.0)} == {False}
    loaded.unsure.max_distance = -np.inf
    assert {row.sure for row in loaded.predict_many(images, threshold=0.0)} == {False}

    loaded.unsure = None
    loaded.save(tmp_path)
    assert TorchClassifier.load(tmp_path, "cpu").predict(images[0]).sure is None


def test_the_pipeline_of_transformers_gives_calibrated_probabilities(
    patterns: Path, tmp_path: Path
) -> None:
    from transformers import pipeline

    classifier, splits = build_classifier(), load_dataset(patterns).splits
    calibrate(classifier, splits["train"], splits["test"])
    assert abs(classifier.info.calibration.temperature - 1) > 0.1
    classifier.save(tmp_path)
    image = open_image(splits["test"][0].source, 32)
    answers = pipeline("image-classification", model=str(tmp_path), device="cpu")(image, top_k=3)
    ours = TorchClassifier.load(tmp_path, "cpu").predict(image).probabilities
    for answer in answers:
        assert ours[answer["label"]] == pytest.approx(answer["score"], abs=1e-5)
