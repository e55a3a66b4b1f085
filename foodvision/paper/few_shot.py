"""Few-shot linear evaluation (section 4.1): frozen features, and a few images of each class.

A network and a dataset come in. A few training images of each class are mapped to targets in
{−1, 1} by regularised least squares, in closed form; the accuracy on held-out images goes out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeClassifierCV

from foodvision.backends.device import choose_device, decide_precision
from foodvision.data import Dataset, load_dataset, training_splits
from foodvision.data.inventory import Inventory, take_inventory
from foodvision.errors import DataError
from foodvision.evaluation.seen import seen_by
from foodvision.evaluation.tables import Table
from foodvision.probing.features import Features
from foodvision.weights.source import load_pretrained

log = logging.getLogger(__name__)

SHOTS = (1, 5, 10, 25)
"""Images of each class to learn from; the paper shows 5 and 10."""

DRAWS = 10
"""How often the images are drawn: with a few, much depends on which."""

PENALTIES = 10.0 ** np.arange(-2, 7)
"""λ in ‖X W − T‖² + λ‖W‖², times the mean variance of a feature; leave-one-out chooses."""

HELD_OUT = 0.15
BATCH_SIZE = 32


@dataclass(frozen=True)
class Shots:
    """One number of images a class.

    Attributes:
        shots: images of each class.
        accuracy: mean over the draws, in 0-1.
        lowest: of the draws.
        highest: of the draws.

    """

    shots: int
    accuracy: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class FewShot:
    """The few-shot accuracies of a network.

    Attributes:
        model: as it was given.
        data: name of the dataset.
        split: which images were held out: ``test``, or ``validation`` carved from train.
        n: how many they are.
        classes: their number.
        draws: see `DRAWS`.
        rows: fewest shots first.
        seen: how many of the n the network was trained on or chosen by, as far as its run's record
            says: then the accuracies are too good.
        drawn: how many training images were drawn at all.
        drawn_seen: how many of these the network was trained on or chosen by.

    """

    model: str
    data: str
    split: str
    n: int
    classes: int
    draws: int
    rows: list[Shots]
    seen: int
    drawn: int
    drawn_seen: int

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)

    def table(self) -> Table:
        """One row for each number of shots."""
        rows = [
            [
                f"{row.shots}",
                f"{row.accuracy:.1%}",
                f"{row.lowest:.1%} to {row.highest:.1%}",
            ]
            for row in self.rows
        ]
        note = (
            f"{self.model} on {self.n:,} {self.split} images of {self.data}, {self.classes} "
            f"classes: regularised least squares to targets in {{−1, 1}} on frozen features, mean "
            f"and range of {self.draws} draws."
        )
        if self.seen:
            note += (
                f" The network was trained on or chosen by {self.seen:,} of these images: the "
                "figures are too good."
            )
        if self.drawn_seen:
            note += (
                f" The network was trained on or chosen by {self.drawn_seen:,} of the "
                f"{self.drawn:,} images that were drawn: its features know them."
            )
        header = ["images per class", "accuracy", "lowest to highest"]
        return Table("Few-shot linear evaluation", header, rows, note, words=())


def evaluate_few_shot(
    model: str,
    data: str | Path | Dataset,
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    device: str = "auto",
) -> FewShot:
    """Measure a network's features on few images a class.

    Args:
        model: weights of any network; see `read_checkpoint`.
        data: a dataset, or what `load_dataset` takes; its test split is held out, or a part of
            its training images.
        shots: images of each class; numbers that the smallest class does not have are left out.
        draws: how often the images are drawn.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        DataError: if there are no images to learn from or to measure on.
        ModelError: if there are no such weights; before any image is opened.

    """
    pretrained = load_pretrained(model, num_classes=1)
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    split, known, held_out = _parts(dataset)
    labels = known.images.labels
    smallest = min(known.images.counts().values())
    if not (possible := sorted(s for s in shots if s <= smallest)):
        raise DataError(
            f"{dataset.name}: a class has only {smallest} training images; few-shot needs "
            f"{min(shots)} of each class"
        )
    orders = [_order(labels, max(possible), seed) for seed in range(draws)]
    target = choose_device(device)
    features = Features(
        pretrained.network.to(target).eval(),
        pretrained.spec,
        decide_precision("auto", target),
        BATCH_SIZE,
    )
    drawn = np.unique(np.concatenate([order.ravel() for order in orders]))
    of_drawn = dict(zip(drawn.tolist(), features.of(known.subset(drawn.tolist())), strict=True))
    of_held_out, seen = features.of(held_out), seen_by(model)
    rows = []
    for s in possible:
        scores = []
        for order in orders:
            chosen = order[:, :s].ravel()
            x = np.stack([of_drawn[i] for i in chosen.tolist()])
            predicted = fit_least_squares(x, labels[chosen]).predict(of_held_out)
            scores.append(float((predicted == held_out.images.labels).mean()))
        rows.append(Shots(s, sum(scores) / draws, min(scores), max(scores)))
    return FewShot(
        model=model,
        data=dataset.name,
        split=split,
        n=len(held_out.images),
        classes=len(dataset.classes),
        draws=draws,
        rows=rows,
        seen=sum(digest in seen for digest in held_out.sha256),
        drawn=len(drawn),
        drawn_seen=sum(known.sha256[i] in seen for i in drawn),
    )


def fit_least_squares(x: np.ndarray, labels: np.ndarray) -> Any:
    """The linear classifier W = (Xᵀ X + λ I)⁻¹ Xᵀ T, with a bias that is not penalised.

    T is 1 at an image's own class and −1 at the others; the class with the highest output is the
    answer. scikit-learn solves it, for each of `PENALTIES`. Features are not standardised one by
    one: over a few images, how much one varies is chance (EfficientNet-Lite0, five images of each
    class: 85 % of 150 photographs instead of 93 %).

    Args:
        x: float of shape (n, D).
        labels: of shape (n,).

    """
    scale = float(x.var(axis=0).mean()) or 1.0
    return RidgeClassifierCV([float(penalty) * scale for penalty in PENALTIES]).fit(x, labels)


def _order(labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Positions of `most` random images of each class, of shape (K, most).

    The first s of each row are the s-shot images, so that more shots add images to fewer.
    """
    random = np.random.default_rng(seed)
    return np.stack(
        [random.permutation(np.flatnonzero(labels == k))[:most] for k in np.unique(labels)]
    )


def _parts(dataset: Dataset) -> tuple[str, Inventory, Inventory]:
    """The name of the held-out part, the images to draw from, and those that are held out."""
    if "test" not in dataset.splits:
        carved = training_splits(dataset, 0, HELD_OUT)
        return "validation", carved.train, carved.validation
    if "train" not in dataset.splits:
        raise DataError(f"{dataset.name}: has no training images to learn from")
    train, test = (take_inventory(dataset.splits[split]) for split in ("train", "test"))
    if bad := [*train.unreadable, *test.unreadable]:
        log.warning(
            "%d images cannot be opened and are left out, the first is %s", len(bad), bad[0]
        )
    if not len(test.images):
        raise DataError(f"{dataset.name}: no test image can be opened")
    return "test", train, test
