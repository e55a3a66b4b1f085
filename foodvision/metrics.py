"""Multi-class log loss, accuracy, calibration error and confusion matrix of a classifier.

Logits and labels come in batch by batch; only sums are kept, and divided once at the end. So no
metric depends on the size or order of the batches, unlike a mean of batch means.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest

ECE_BINS = 15

_EDGES = np.linspace(0, 1, ECE_BINS + 1, dtype=np.float32)


@dataclass(frozen=True)
class Metrics:
    """Metrics of n images.

    Attributes:
        n: number of images.
        log_loss: mean of −log p(true class) in nats; log K for a uniform guess over K classes.
        accuracy: share of images whose most probable class is the true one, in 0-1.
        accuracy_ci95: Wilson's 95 % interval of the accuracy.
        ece: expected calibration error (Guo et al., 1706.04599) over 15 equal-width bins of the top
            probability, in 0-1; torchmetrics' definition.
        classes: K names, in the order of the logits.
        per_class: for each class n, precision, recall and f1 (0 where undefined).
        confusion: number of images by true class (row) and predicted class (column).
        reliability: the bins of the ECE that hold images: ``low`` and ``high`` of the top
            probability, n, mean ``probability``, ``accuracy``. The ECE is the mean of
            |accuracy − probability| over them, weighted by n.

    """

    n: int
    log_loss: float
    accuracy: float
    accuracy_ci95: tuple[float, float]
    ece: float
    classes: tuple[str, ...]
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    reliability: list[dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        low, high = self.accuracy_ci95
        return (
            f"log loss {self.log_loss:.4f} · accuracy {self.accuracy:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}) · ECE {self.ece:.3f} · n = {self.n}"
        )


class RunningMetrics:
    """Sums over the batches seen so far."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._log_loss = 0.0
        self._confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        # For each bin of the top probability: number of images, sum of probabilities, hits.
        self._bins = np.zeros((3, ECE_BINS))

    def update(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch: logits of shape (b, K), labels of shape (b,) in 0 to K − 1."""
        log_probabilities = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
        labels = np.asarray(labels)
        predicted = log_probabilities.argmax(axis=1)
        self._log_loss += log_loss_of_each(logits, labels).sum()
        np.add.at(self._confusion, (labels, predicted), 1)
        confidence = np.exp(log_probabilities.max(axis=1))
        # Bins [0, 1/15), [1/15, 2/15), ..., found in float32 as torchmetrics does. A probability of
        # 1 falls into the last of them, not into a sixteenth.
        bins = np.searchsorted(_EDGES, confidence.astype(np.float32), side="right") - 1
        bins = np.minimum(bins, ECE_BINS - 1)
        np.add.at(self._bins[0], bins, 1)
        np.add.at(self._bins[1], bins, confidence)
        np.add.at(self._bins[2], bins, predicted == labels)

    def result(self) -> Metrics:
        """The metrics of all batches.

        Raises:
            ValueError: if no image was added.

        """
        n = int(self._confusion.sum())
        if n == 0:
            raise ValueError("no image was scored")
        hits = np.diag(self._confusion)
        true, predicted = self._confusion.sum(axis=1), self._confusion.sum(axis=0)
        precision = hits / np.maximum(predicted, 1)
        recall = hits / np.maximum(true, 1)
        f1 = 2 * hits / np.maximum(true + predicted, 1)
        return Metrics(
            n=n,
            log_loss=float(self._log_loss / n),
            accuracy=float(hits.sum() / n),
            accuracy_ci95=wilson_interval(int(hits.sum()), n),
            ece=float(np.abs(self._bins[2] - self._bins[1]).sum() / n),
            classes=self.classes,
            per_class={
                name: {
                    "n": int(true[i]),
                    "precision": float(precision[i]),
                    "recall": float(recall[i]),
                    "f1": float(f1[i]),
                }
                for i, name in enumerate(self.classes)
            },
            confusion=self._confusion.tolist(),
            reliability=[
                {
                    "low": i / ECE_BINS,
                    "high": (i + 1) / ECE_BINS,
                    "n": int(count),
                    "probability": float(confidence / count),
                    "accuracy": float(right / count),
                }
                for i, (count, confidence, right) in enumerate(self._bins.T)
                if count
            ],
        )


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax in float64 of logits of shape (b, K); rows sum to 1."""
    shares: np.ndarray = np.exp(log_softmax(np.asarray(logits, dtype=np.float64), axis=1))
    return shares


def log_loss_of_each(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−log p(true class) of each image in nats, shape (b,), in float64 and never clipped.

    Computed from logits, it stays finite and exact even where p itself would round to 0.
    """
    log_probabilities = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    picked: np.ndarray = np.take_along_axis(log_probabilities, np.asarray(labels)[:, None], axis=1)
    return -picked[:, 0]


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (1927); valid near 0 and 1 and for small n."""
    interval = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)
