"""Makes a classifier say how sure it is: its head is scaled, and its limits are found.

The temperature T (Guo et al., 1706.04599) is folded into the head, W/T and b/T, so that whatever
reads the weights computes calibrated probabilities. The most probable class stays the same.
"""

from __future__ import annotations

import copy
import logging

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from foodvision.classifier.info import Calibration
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import LabelledImages
from foodvision.errors import DataError, ImageError
from foodvision.evaluation.unsure import fit_unsure
from foodvision.metrics import Metrics, RunningMetrics, log_loss_of_each
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

SAMPLE = 2000
"""Training images that are looked at: enough to tell in which directions their features vary."""

BATCH_SIZE = 32

SAMPLED_GROUPS = 20
"""Row groups of a stream that they are taken from, each of which is read as a whole."""


def calibrate(
    classifier: TorchClassifier, train: LabelledImages, validation: LabelledImages
) -> Metrics:
    """Calibrate a classifier in place, unless it is; nothing is written until it is saved.

    Args:
        classifier: any; with a calibration, it keeps its temperature.
        train: images that it was trained on; at most `SAMPLE` of them are opened.
        validation: images that it was not trained on, never those of the test split.

    Returns:
        How good the calibrated classifier is on the validation images.

    Raises:
        DataError: if the classifier lacks a class, or no image of a split can be opened.
        ModelError: if the network's answers are not finite numbers.

    """
    validation = validation.relabelled(classifier.classes)
    features, labels = _features(classifier, validation, "measuring")
    if is_calibrated(classifier):
        return _metrics(_logits(classifier.network.head, features), labels, classifier.classes)
    known, _ = _features(classifier, train.subset(_sample(train)), "calibrating")
    return calibrate_on(classifier, known, features, labels)


def calibrate_on(
    classifier: TorchClassifier, train: np.ndarray, validation: np.ndarray, labels: np.ndarray
) -> Metrics:
    """As `calibrate`, from features.

    Args:
        classifier: changed in place.
        train: float32 of shape (n, D).
        validation: float32 of shape (m, D).
        labels: of the validation images, shape (m,).

    """
    head = classifier.network.head
    if classifier.info.calibration is None:
        logits = _logits(head, validation)
        before, T = _metrics(logits, labels, classifier.classes), fit_temperature(logits, labels)
        with torch.no_grad():
            head.weight.div_(T)
            head.bias.div_(T)
        after = _metrics(_logits(head, validation), labels, classifier.classes)
        calibration = Calibration(
            temperature=T,
            n=after.n,
            log_loss_before=before.log_loss,
            log_loss_after=after.log_loss,
            ece_before=before.ece,
            ece_after=after.ece,
        )
        classifier.info = classifier.info.model_copy(update={"calibration": calibration})
    unsure = fit_unsure(copy.deepcopy(head).cpu(), train, validation)
    classifier.unsure = unsure.to(classifier.device)
    return _metrics(_logits(head, validation), labels, classifier.classes)


def is_calibrated(classifier: TorchClassifier) -> bool:
    """Whether `calibrate` has nothing left to do."""
    return classifier.info.calibration is not None and classifier.unsure is not None


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T for which logits/T have the lowest log loss.

    Args:
        logits: of validation images, shape (n, K).
        labels: their classes, shape (n,).

    """

    def loss(log_t: float) -> float:
        scaled = np.asarray(logits, dtype=np.float64) / np.exp(log_t)
        # The prior, as weak as one image, keeps T finite when all answers are right. It is 0 at
        # T = 1, so the log loss of the result is not above that of T = 1.
        return float(log_loss_of_each(scaled, labels).sum()) + log_t**2 / 2

    fit = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(fit.x)) if fit.fun < loss(0) else 1.0


def sample(n: int) -> np.ndarray:
    """Which of n training images are looked at: the same ones each time."""
    return np.sort(np.random.default_rng(0).permutation(n)[:SAMPLE])


def _sample(train: LabelledImages) -> np.ndarray:
    """Which training images are looked at; those of a stream are in few row groups."""
    if not train.stream:
        return sample(len(train))
    random, groups = np.random.default_rng(0), train.stream.groups_of(train.indices)
    chosen = random.permutation(np.unique(groups))[:SAMPLED_GROUPS]
    return np.sort(random.permutation(np.flatnonzero(np.isin(groups, chosen)))[:SAMPLE])


def _features(
    classifier: TorchClassifier, images: LabelledImages, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the images that can be opened."""
    rows, labels, bad = [], [], []
    with progress_bar() as bar:
        task = bar.add_task(name, total=len(images), unit="images", info="")
        sources = (example.source for example in images)
        results = classifier.features(sources, BATCH_SIZE)
        for label, row in zip(images.labels, results, strict=True):
            if isinstance(row, ImageError):
                bad.append(row)
            else:
                rows.append(row)
                labels.append(label)
            bar.advance(task)
    if not rows:
        raise DataError(f"no image can be opened to calibrate with; the first: {bad[:1]}")
    if bad:
        log.warning("%d images cannot be opened and are left out; the first: %s", len(bad), bad[0])
    return np.stack(rows), np.array(labels)


@torch.no_grad()
def _logits(head: nn.Linear, features: np.ndarray) -> np.ndarray:
    logits: np.ndarray = head(torch.from_numpy(features).to(head.weight)).cpu().numpy()
    return logits


def _metrics(logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Metrics:
    running = RunningMetrics(classes)
    running.update(logits, labels)
    return running.result()
