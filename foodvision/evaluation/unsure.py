"""Fits what tells when an answer is not sure: training features in, an `Unsure` out.

Energy, k-nearest neighbours, Mahalanobis distance and ViM were compared (docs/results.md).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from foodvision.classifier.unsure import Unsure

KNOWN_ACCEPTED = 0.95
"""Share of the validation images whose answers are sure."""

DIMENSIONS = 10
"""Of the subspace in which training images vary, if there are not more classes than that."""


@torch.no_grad()
def fit_unsure(head: nn.Linear, train: np.ndarray, validation: np.ndarray) -> Unsure:
    """Fit the score on training images, and both limits on validation images.

    Args:
        head: of the calibrated network, on the CPU.
        train: features of training images, float32 of shape (n, D).
        validation: the same of validation images, which the network was not fitted on.

    """
    W, b = head.weight.double().numpy(), head.bias.double().numpy()
    W, b = W - W.mean(axis=0), b - b.mean()
    D = W.shape[1]
    origin = -np.linalg.pinv(W) @ b
    z = train.astype(np.float64) - origin
    _, vectors = np.linalg.eigh(z.T @ z / len(z))  # ascending
    principal = vectors[:, -min(max(DIMENSIONS, len(b)), max(1, D // 2)) :]
    outside = np.linalg.norm(z - z @ principal @ principal.T, axis=1).mean()
    largest = (train @ W.T + b).max(axis=1).mean()
    unsure = Unsure(
        torch.from_numpy(origin).float(),
        torch.from_numpy(principal).float().contiguous(),
        scale=float(largest / outside) if outside > 1e-6 * np.linalg.norm(z, axis=1).mean() else 0,
    )
    y = torch.from_numpy(validation)
    logits = head(y)
    top = logits.double().softmax(dim=1).amax(dim=1).numpy()
    unsure.min_probability, unsure.max_distance = limits(top, unsure(y, logits).numpy())
    return unsure


def limits(top: np.ndarray, distance: np.ndarray) -> tuple[float, float]:
    """The probability to reach and the distance not to exceed.

    Both refuse the same number of images each, as many as leave `KNOWN_ACCEPTED` of all images
    with an answer that passes both.

    Args:
        top: the top probability of each image, shape (n,).
        distance: how unfamiliar each image is, shape (n,).

    """
    rank = np.minimum(rankdata(top, "min"), rankdata(-distance, "min"))
    refused = int((1 - KNOWN_ACCEPTED) * len(rank) + 1e-9)
    last = int(np.sort(rank)[refused]) - 1
    # A little beyond that image: float32 and another batch size change the last digits.
    probability, far = float(np.sort(top)[last]), float(-np.sort(-distance)[last])
    return probability * (1 - 1e-5), far + 1e-5 * max(1.0, abs(far))
