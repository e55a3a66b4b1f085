"""The head alone: a linear classifier of a network's features, fitted until it converges.

The problem is convex, so there is nothing to tune but the L2 penalty, which the validation log loss
chooses. scipy's L-BFGS fits it, each penalty starting from the solution of the one before it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from foodvision.metrics import Metrics, RunningMetrics, log_loss_of_each
from foodvision.progress import progress_bar

PENALTIES = tuple(10 ** (exponent / 2) for exponent in range(2, -13, -1))
"""L2 penalties to try: from 10 down to 1e-6, two per decade."""

PATIENCE = 4
"""Penalties in a row without a lower validation log loss, after which weaker ones are not tried."""


@dataclass(frozen=True)
class PenaltyFit:
    """The outcome of fitting the head with one L2 penalty.

    Attributes:
        l2: λ in mean cross-entropy + λ/2 · ‖W‖², where W is for standardised features.
        iterations: of L-BFGS.
        train_loss: mean cross-entropy on the training images, without the penalty.
        train_accuracy: on the training images, in 0-1.
        log_loss: on the validation images.
        accuracy: on the validation images, in 0-1.

    """

    l2: float
    iterations: int
    train_loss: float
    train_accuracy: float
    log_loss: float
    accuracy: float

    @property
    def name(self) -> str:
        """How a log line calls it."""
        return f"L2 penalty {self.l2:.2g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain types: a line of history.jsonl."""
        return asdict(self)


@dataclass(frozen=True)
class Head:
    """A linear classifier of features: logits = x Wᵀ + b.

    Attributes:
        weight: W, float64 of shape (K, D).
        bias: b, float64 of shape (K,).
        tried: one entry for each penalty that was tried, the strongest first.

    """

    weight: np.ndarray
    bias: np.ndarray
    tried: list[PenaltyFit]


Labelled: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Features of shape (n, D), and their labels of shape (n,)."""


def fit_head(
    train: Labelled, validation: Labelled, classes: tuple[str, ...], class_weights: np.ndarray
) -> Head:
    """Fit multinomial logistic regression by L-BFGS with each penalty, and return the best.

    Features are standardised first, so that one range of penalties suits all networks; the
    returned weights include the standardisation.

    Args:
        train: to fit.
        validation: to choose the penalty by.
        classes: K names.
        class_weights: factor of each class in the loss, see `foodvision.training.loss`. The
            returned bias includes their shift, the figures of `tried` do not.

    """
    features, labels = train
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    # A feature that varies only by rounding carries no information.
    scale = np.where(scale > 1e-6 * np.abs(mean), scale, np.inf)
    x, weights = (features - mean) / scale, class_weights.astype(np.float64)[labels]
    shift = np.log(class_weights)
    theta = np.zeros(len(classes) * (x.shape[1] + 1))
    heads: list[Head] = []
    tried: list[PenaltyFit] = []
    with progress_bar() as bar:
        task = bar.add_task("fitting", total=len(PENALTIES), unit="penalties", info="")
        for l2 in PENALTIES:  # each starts from the solution of the one before it
            # With separable classes the loss falls with λ: the tolerance is a share of it.
            unit, _ = _penalised_loss(theta, x, labels, weights, l2)
            fit = minimize(
                *(_penalised_loss, theta, (x, labels, weights, l2, unit)),
                method="L-BFGS-B",
                jac=True,
                options={"maxiter": 1000, "gtol": 1e-4, "ftol": 1e-8},
            )
            theta = fit.x
            W, b = _split(theta, x.shape[1])
            weight, bias = W / scale, b - W @ (mean / scale)
            fitted, held_out = x @ W.T + b, validation[0] @ weight.T + bias
            metrics = _metrics(held_out - shift, validation[1], classes)
            tried.append(
                PenaltyFit(
                    l2=l2,
                    iterations=fit.nit,
                    train_loss=float(log_loss_of_each(fitted, labels).mean()),
                    train_accuracy=_metrics(fitted - shift, labels, classes).accuracy,
                    log_loss=metrics.log_loss,
                    accuracy=metrics.accuracy,
                )
            )
            heads.append(Head(weight, bias, tried))
            bar.update(task, advance=1, info=f"validation log loss {metrics.log_loss:.3f}")
            losses = [past.log_loss for past in tried]
            best = losses.index(min(losses))
            if len(tried) - 1 - best == PATIENCE:
                break
    return heads[best]


def _metrics(logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Metrics:
    running = RunningMetrics(classes)
    running.update(logits, labels)
    return running.result()


def _split(theta: np.ndarray, D: int) -> tuple[np.ndarray, np.ndarray]:
    """W of shape (K, D) and b of shape (K,), from one vector."""
    together = theta.reshape(-1, D + 1)
    return together[:, :D], together[:, D]


def _penalised_loss(
    theta: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    l2: float,
    unit: float = 1.0,
) -> tuple[float, np.ndarray]:
    """Mean of w_c · −log p(c) plus λ/2 · ‖W‖², and its gradient, both divided by `unit`."""
    W, b = _split(theta, x.shape[1])
    log_p, n = log_softmax(x @ W.T + b, axis=1), np.arange(len(x))
    loss = -(weights * log_p[n, labels]).mean() + l2 / 2 * (W**2).sum()
    error = np.exp(log_p)
    error[n, labels] -= 1
    error *= weights[:, None] / len(x)
    gradient = np.column_stack([error.T @ x + l2 * W, error.sum(axis=0)])
    return float(loss) / unit, gradient.ravel() / unit
