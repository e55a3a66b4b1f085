"""Which pretrained weights suit these images? A cross-validated probe of each, on the same folds.

Training images come in; log loss, time, size and licence of each candidate go out. Validation and
test images are not opened, so the choice costs nothing later.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.backends.device import choose_device, decide_precision
from foodvision.classifier.licence import licence_behind
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset, load_dataset
from foodvision.data.dataset import FLAT
from foodvision.data.inventory import take_inventory
from foodvision.errors import DataError
from foodvision.evaluation.seen import seen_by
from foodvision.evaluation.speed import Speed, describe_machine, measure_speed
from foodvision.evaluation.tables import Table
from foodvision.metrics import log_loss_of_each
from foodvision.probing.cross_validation import FOLDS, check_sizes, out_of_fold_logits
from foodvision.probing.features import Features
from foodvision.weights.source import load_pretrained

log = logging.getLogger(__name__)

RESAMPLES = 10_000
BATCH_SIZE = 32


@dataclass(frozen=True)
class Candidate:
    """One source of pretrained weights.

    Attributes:
        weights: the source, as `read_checkpoint` takes it.
        log_loss: of the out-of-fold predictions, in nats.
        log_loss_interval: 95 % percentile interval of the bootstrap over images.
        accuracy: of the same predictions, in 0-1.
        behind_best: its log loss minus that of the best candidate.
        behind_best_interval: paired, of the same resamples.
        speed: from opening a file to the features and a head.
        parameters: of the network, with a head for these classes.
        mb: of these parameters in float32, in 10⁶ bytes.
        licence: what the publisher says; None if nothing here says it.
        seen: how many of the images its run was trained on or chosen by, if it has a record of
            them: then its log loss is too good.

    """

    weights: str
    log_loss: float
    log_loss_interval: tuple[float, float]
    accuracy: float
    behind_best: float
    behind_best_interval: tuple[float, float]
    speed: Speed
    parameters: int
    mb: float
    licence: str | None
    seen: int


@dataclass(frozen=True)
class Choice:
    """The candidates side by side, the lowest log loss first.

    Attributes:
        data: name of the dataset.
        n: training images.
        classes: their number.
        machine: what the times depend on, as in ``cpu (2 threads)``.
        candidates: best first.

    """

    data: str
    n: int
    classes: int
    machine: str
    candidates: Sequence[Candidate]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self) | {"exploratory": True}

    def command(self, data: str) -> str:
        """The command that trains the head of the best candidate.

        Args:
            data: the dataset as `load_dataset` takes it.

        """
        best = self.candidates[0].weights
        train = ["foodvision", "train", data, "--recipe", "probe", "--weights", best]
        return shlex.join(train)

    def summary(self) -> str:
        """A table to read."""
        rows = [
            [
                row.weights,
                f"{row.log_loss:.4f}",
                _interval(row.log_loss_interval),
                f"{row.accuracy:.1%}",
                _interval(row.behind_best_interval) if row.behind_best else "-",
                f"{row.speed.seconds_p50 * 1000:.1f}",
                f"{row.mb:.1f}",
                row.licence or "unknown",
            ]
            for row in self.candidates
        ]
        header = ["weights", "log loss", "95 % interval", "accuracy", "behind the best"]
        notes = [
            f"{row.weights} was trained on or chosen by {row.seen:,} of these images: its figures "
            "are too good."
            for row in self.candidates
            if row.seen
        ]
        notes.append(
            f"Exploratory: {FOLDS}-fold cross-validation of probes on the training images. The "
            "folds share images, so the intervals are too narrow, and the best of several looks "
            f"better than it is. Times: {self.machine}, one image at a time."
        )
        return Table(
            f"{self.data}: {self.n:,} training images of {self.classes} classes",
            [*header, "ms per image", "MB", "licence"],
            rows,
            " ".join(notes),
            words=(0, 7),
        ).to_text()


def choose(data: str | Path | Dataset, weights: Sequence[str], device: str = "auto") -> Choice:
    """Compare pretrained weights by probes that are cross-validated on the training images.

    Args:
        data: a dataset, or what `load_dataset` takes. Only its training images are opened, or all
            of a flat folder.
        weights: the candidates; see `foodvision.weights.source.read_checkpoint`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        DataError: if there are no training images, a class has too few, or they are a stream.
        ModelError: if there are no such weights; before any image is opened.

    """
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    images = dataset.splits.get("train", dataset.splits.get(FLAT))
    if images is None:
        raise DataError(f"{dataset.name}: has no training images, only {', '.join(dataset.splits)}")
    if images.stream:
        raise DataError(
            f"{dataset.name}: a stream cannot be chosen for, as probes keep the features of all "
            "images by their hashes: copy some thousand of its images to a disk"
        )
    target = choose_device(device)
    networks = [load_pretrained(source, len(images.classes)) for source in weights]
    inventory = take_inventory(images)
    if bad := inventory.unreadable:
        log.warning(
            "%d of %d images cannot be opened and are left out, the first is %s",
            *(len(bad), len(images), bad[0]),
        )
    check_sizes(inventory.images.labels, images.classes, inventory.sha256)
    labels, precision = inventory.images.labels, decide_precision("auto", target)
    losses, right, classifiers = [], [], []
    for pretrained in networks:
        network = pretrained.network.to(target).eval()
        features = Features(network, pretrained.spec, precision, BATCH_SIZE).of(inventory)
        logits = out_of_fold_logits(features, labels, images.classes, inventory.sha256)
        losses.append(log_loss_of_each(logits, labels))
        right.append(float((logits.argmax(axis=1) == labels).mean()))
        classifiers.append(TorchClassifier(network, pretrained.spec, images.classes))
    speeds = measure_speed(classifiers, list(inventory.images), target.type)
    of_image = np.stack(losses)
    means, best = of_image.mean(axis=1), int(of_image.mean(axis=1).argmin())
    resampled, seen = _bootstrap(of_image), [seen_by(source) for source in weights]
    rows = [
        Candidate(
            weights=source,
            log_loss=float(means[i]),
            log_loss_interval=_percentiles(resampled[i]),
            accuracy=right[i],
            behind_best=float(means[i] - means[best]),
            behind_best_interval=_percentiles(resampled[i] - resampled[best]),
            speed=speeds[i],
            parameters=classifiers[i].info.parameters or 0,
            mb=4 * (classifiers[i].info.parameters or 0) / 1e6,
            licence=licence_behind(source).name,
            seen=sum(digest in seen[i] for digest in inventory.sha256),
        )
        for i, source in enumerate(weights)
    ]
    rows.sort(key=lambda row: row.log_loss)
    machine = describe_machine(target.type)
    return Choice(dataset.name, len(labels), len(images.classes), machine, rows)


def _bootstrap(of_image: np.ndarray) -> np.ndarray:
    """Mean losses of shape (m, `RESAMPLES`) over resampled images, the same for all m rows."""
    random, n = np.random.default_rng(0), of_image.shape[1]
    # How often each image is drawn, in place of its index: one matrix product for all candidates.
    chunks = [
        of_image @ random.multinomial(n, np.full(n, 1 / n), size=500).T / n
        for _ in range(RESAMPLES // 500)
    ]
    return np.concatenate(chunks, axis=1)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}"
