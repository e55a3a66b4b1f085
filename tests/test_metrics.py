from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from scipy.special import softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from foodvision.metrics import (
    Metrics,
    RunningMetrics,
    log_loss_of_each,
    probabilities,
    wilson_interval,
)

CLASSES = ("a", "b", "c", "d")


def measure(logits: np.ndarray, labels: np.ndarray, batch_size: int = 7) -> Metrics:
    running = RunningMetrics(CLASSES)
    for start in range(0, len(labels), batch_size):
        running.update(logits[start : start + batch_size], labels[start : start + batch_size])
    return running.result()


@pytest.fixture
def stored() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 500)
    logits = random.normal(0, 2, (500, 4)).astype(np.float32)
    logits[np.arange(500), labels] += 1
    return logits, labels


def case(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of four classes."""
    random = np.random.default_rng(3)
    if name == "a class absent":
        return random.normal(0, 3, (200, 4)), random.integers(0, 3, 200)
    if name == "a class never predicted":
        return random.normal(0, 1, (200, 4)) - [0, 0, 50, 0], random.integers(0, 4, 200)
    if name == "one class alone":
        return random.normal(0, 1, (50, 4)), np.full(50, 2)
    if name.startswith("one sample"):
        return np.array([[0.3, 2.0, -1.0, 0.1]]), np.array([1 if name.endswith("right") else 3])
    if name == "uniform":
        return np.zeros((20, 4)), random.integers(0, 4, 20)
    if name == "on the edges of bins":
        top = random.integers(10, 30, 300) / 30  # every other one is within a bin
        shares = np.column_stack([top, *[(1 - top) / 3] * 3])
        return np.log(shares), random.integers(0, 2, 300)
    if name == "very sure":
        logits = random.normal(0, 1, (300, 4)) * 20
        return logits, np.where(random.random(300) < 0.8, logits.argmax(1), 0)
    seed = int(name.split()[-1])
    random = np.random.default_rng(seed)
    logits = random.normal(0, random.uniform(0.5, 4), (500, 4)).astype(np.float32)
    labels = random.integers(0, 4, 500)
    logits[np.arange(500), labels] += 1
    return logits, labels


CASES = (
    *(f"random {seed}" for seed in range(5)),
    *("a class absent", "a class never predicted", "one class alone"),
    *("one sample, right", "one sample, wrong"),
    *("uniform", "on the edges of bins", "very sure"),
)


@pytest.mark.parametrize("name", CASES)
def test_equals_scikit_learn_and_torchmetrics(name: str) -> None:
    logits, labels = case(name)
    shares = softmax(logits.astype(np.float64), axis=1)
    predicted = shares.argmax(axis=1)
    metrics = measure(logits, labels)
    assert metrics.n == len(labels)
    assert metrics.log_loss == pytest.approx(
        -np.log(shares[np.arange(len(labels)), labels]).mean(), abs=1e-9
    )
    if shares.min() > 1e-12:  # scikit-learn clips
        assert metrics.log_loss == pytest.approx(
            reference.log_loss(labels, shares, labels=range(4)), abs=1e-9
        )
    # Exactly: these are quotients of the same integers.
    assert metrics.accuracy == reference.accuracy_score(labels, predicted)
    options = {"labels": range(4)}
    assert metrics.confusion == reference.confusion_matrix(labels, predicted, **options).tolist()
    expected = reference.precision_recall_fscore_support(
        labels, predicted, zero_division=0, **options
    )
    for i, of_class in enumerate(CLASSES):
        row = metrics.per_class[of_class]
        got = [row["precision"], row["recall"], row["f1"], row["n"]]
        assert got == [column[i] for column in expected]
    ece = multiclass_calibration_error(
        torch.from_numpy(shares), torch.from_numpy(labels), num_classes=4, n_bins=15
    )
    assert metrics.ece == pytest.approx(float(ece), abs=1e-6)


def test_reliability_bins_hold_every_image_and_add_up_to_the_ece(
    stored: tuple[np.ndarray, np.ndarray],
) -> None:
    logits, labels = stored
    metrics, shares = measure(logits, labels), probabilities(logits)
    assert sum(row["n"] for row in metrics.reliability) == 500
    gaps = [row["n"] * abs(row["accuracy"] - row["probability"]) for row in metrics.reliability]
    assert metrics.ece == pytest.approx(sum(gaps) / 500, abs=1e-12)
    top, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    for row in metrics.reliability:
        inside = (top >= row["low"]) & (top < row["high"])
        assert row["n"] == inside.sum()
        assert row["probability"] == pytest.approx(top[inside].mean())
        assert row["accuracy"] == pytest.approx(right[inside].mean())


def test_log_loss_is_exact_where_the_probability_underflows() -> None:
    logits = np.array([[0.0, 2000.0, 0.0, 0.0], [0.0, 40.0, 0.0, 0.0]])
    losses = log_loss_of_each(logits, np.array([0, 0]))
    assert losses[0] == 2000.0
    assert losses[1] == pytest.approx(40 + math.log1p(3 * math.exp(-40)), abs=1e-12)
    assert measure(logits, np.array([0, 0])).log_loss == pytest.approx(1020.0, abs=1e-9)


def test_uniform_probabilities_have_log_loss_log_k() -> None:
    assert measure(np.zeros((3, 4)), np.array([0, 1, 2])).log_loss == pytest.approx(math.log(4))


@pytest.mark.parametrize("batch_size", [1, 3, 64, 500])
def test_independent_of_batch_size_and_order(
    stored: tuple[np.ndarray, np.ndarray], batch_size: int
) -> None:
    logits, labels = stored
    order = np.random.default_rng(batch_size).permutation(500)
    expected, got = measure(logits, labels), measure(logits[order], labels[order], batch_size)
    assert got.log_loss == pytest.approx(expected.log_loss, abs=1e-12)
    assert got.ece == pytest.approx(expected.ece, abs=1e-12)
    assert got.confusion == expected.confusion


def test_ece_by_hand() -> None:
    """Two bins: confidence 0.55 and always right; confidence 0.95 and right half of the time."""

    def logits_of(probability: float) -> list[float]:
        rest = (1 - probability) / 3
        return [math.log(probability), math.log(rest), math.log(rest), math.log(rest)]

    logits = np.array([logits_of(0.55)] * 2 + [logits_of(0.95)] * 2)
    metrics = measure(logits, np.array([0, 0, 0, 1]))
    assert metrics.ece == pytest.approx((2 * 0.45 + 2 * 0.45) / 4, abs=1e-12)


def test_probability_1_falls_into_the_last_bin() -> None:
    assert measure(np.array([[1000.0, 0, 0, 0]]), np.array([0])).ece == pytest.approx(0, abs=1e-12)


def test_wilson_interval_of_the_course() -> None:
    """148 and 145 of 150: the two models' intervals overlap."""
    assert wilson_interval(148, 150) == pytest.approx((0.9527, 0.9963), abs=1e-4)
    assert wilson_interval(145, 150) == pytest.approx((0.9243, 0.9857), abs=1e-4)
    assert wilson_interval(10, 10)[1] == 1.0


def test_no_images_is_an_error() -> None:
    with pytest.raises(ValueError, match="no image"):
        RunningMetrics(CLASSES).result()
