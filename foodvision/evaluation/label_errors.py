"""Which labels are probably wrong: those that a probe doubts when it has not seen their image.

Images, a network's features and the duplicates come in; `Suspect`s go out, the most suspicious
first. Ranking and threshold are cleanlab's (confident learning, arXiv 1911.00068).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from scipy.special import softmax

from foodvision.backends.device import choose_device
from foodvision.data.duplicates import Duplicates
from foodvision.data.inventory import Inventory
from foodvision.errors import MissingExtraError
from foodvision.evaluation.findings import Place, Suspect
from foodvision.probing.cross_validation import FOLDS, out_of_fold_logits
from foodvision.probing.features import Features
from foodvision.weights.source import load_pretrained

log = logging.getLogger(__name__)

BATCH_SIZE = 32


def prepare_features(weights: str, device: str) -> Features:
    """The network whose features are probed; whatever is wrong with it fails before the work.

    Args:
        weights: as `load_pretrained` takes them.
        device: that computes the features.

    Raises:
        MissingExtraError: if cleanlab is not installed.
        ModelError: if there are no such weights.
        FoodvisionError: if there is no such device, or the cache of features cannot be written.

    """
    if find_spec("cleanlab") is None:
        raise MissingExtraError("looking for wrong labels (--features)", "data")
    chosen = choose_device(device)
    pretrained = load_pretrained(weights, num_classes=1)  # the head is not used
    return Features(pretrained.network.to(chosen), pretrained.spec, "float32", BATCH_SIZE)


def find_label_errors(
    inventory: Inventory,
    places: Sequence[Place],
    duplicates: Duplicates,
    features: Features,
) -> list[Suspect] | None:
    """The suspicious labels of a dataset.

    Args:
        inventory: of all its splits.
        places: of each of these images.
        duplicates: among them; those of one photograph are in the same fold.
        features: of the network that is probed.

    Returns:
        The most suspicious first; None if too few classes have enough images.

    Raises:
        FoodvisionError: as `Features.of` does.

    """
    groups = np.arange(len(places))
    for group in duplicates.groups():
        groups[group] = group[0]
    labels, names = inventory.images.labels, inventory.images.classes
    kept, known = _with_enough(labels, groups)
    left_out = [names[label] for label in sorted({*labels.tolist()} - {*known})]
    if left_out:
        log.warning(
            "labels of small classes are not checked (%d different images are needed): %s",
            *(FOLDS, ", ".join(left_out)),
        )
    if len(known) < 2:
        return None
    found = features.of(inventory.subset(kept.tolist()))
    given = np.searchsorted(known, labels[kept])
    classes = tuple(names[label] for label in known)
    logits = out_of_fold_logits(found, given, classes, groups[kept].astype(str).tolist())
    return [
        Suspect(
            places[kept[i]],
            classes[probabilities.argmax()],
            float(probabilities.max()),
            float(probabilities[given[i]]),
        )
        for i, probabilities in rank_suspects(given, softmax(logits, axis=1))
    ]


def rank_suspects(labels: np.ndarray, probabilities: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Positions and probabilities of the images whose label is suspicious.

    Args:
        labels: of shape (n,), in 0 to K - 1, each of which occurs.
        probabilities: of shape (n, K), out of fold.

    """
    from cleanlab.filter import find_label_issues  # imports pandas

    ranked = find_label_issues(
        labels, probabilities, return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    return [(int(i), probabilities[i]) for i in ranked]


def _with_enough(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The positions of the images of classes that can be cross-validated, and these classes."""
    known = [
        label
        for label in np.unique(labels).tolist()
        if len(np.unique(groups[labels == label])) >= FOLDS
    ]
    return np.flatnonzero(np.isin(labels, known)), known
