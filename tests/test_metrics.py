from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference
from scipy.special import softmax

from foodvision.metrics import Metrics, RunningMetrics, log_loss_of_each, wilson_interval

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


def test_equals_scikit_learn(stored: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = stored
    probabilities = softmax(logits.astype(np.float64), axis=1)
    assert probabilities.min() > 1e-12
    predicted = probabilities.argmax(axis=1)
    metrics = measure(logits, labels)
    assert metrics.n == 500
    assert metrics.log_loss == pytest.approx(
        reference.log_loss(labels, probabilities, labels=range(4)), abs=1e-9
    )
    assert metrics.accuracy == pytest.approx(reference.accuracy_score(labels, predicted), abs=1e-9)
    assert metrics.confusion == reference.confusion_matrix(labels, predicted).tolist()
    expected = reference.precision_recall_fscore_support(labels, predicted, zero_division=0)
    for i, name in enumerate(CLASSES):
        row = metrics.per_class[name]
        got = [row["precision"], row["recall"], row["f1"], row["n"]]
        assert got == pytest.approx([column[i] for column in expected], abs=1e-9)


def test_classes_never_seen_or_never_predicted_score_zero_as_in_scikit_learn() -> None:
    logits = np.array([[5.0, 0, 0, 0], [5.0, 0, 0, 0], [0, 0, 5.0, 0]])
    metrics = measure(logits, np.array([0, 1, 1]))
    assert metrics.per_class["b"] == {"n": 2, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert metrics.per_class["d"] == {"n": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert metrics.per_class["c"]["precision"] == 0.0


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
