"""What a probe says of each image when it has not seen it: k-fold cross-validation on features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from foodvision.errors import DataError
from foodvision.probing.head import fit_head

FOLDS = 5


def out_of_fold_logits(
    features: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    groups: Sequence[str],
) -> np.ndarray:
    """The logits of each image from a head that was fitted without it.

    Each fold is predicted by a head whose L2 penalty the next fold chose, and which the others
    fitted: no image has a say in its own logits.

    Args:
        features: float32 of shape (n, D).
        labels: of shape (n,).
        classes: K names.
        groups: of each image; images of one group, such as copies, are in the same fold.

    Returns:
        float64 of shape (n, K).

    Raises:
        DataError: if a class has fewer groups than there are folds.

    """
    from sklearn.model_selection import StratifiedGroupKFold  # half a second, which few need

    check_sizes(labels, classes, groups)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    parts = [held_out for _, held_out in splitter.split(features, labels, groups)]
    logits = np.empty((len(labels), len(classes)))
    for k, held_out in enumerate(parts):
        chooser = parts[(k + 1) % FOLDS]
        fitting = np.concatenate(
            [part for i, part in enumerate(parts) if i not in (k, (k + 1) % FOLDS)]
        )
        head = fit_head(
            (features[fitting], labels[fitting]),
            (features[chooser], labels[chooser]),
            classes,
            np.ones(len(classes)),
        )
        logits[held_out] = features[held_out] @ head.weight.T + head.bias
    return logits


def check_sizes(labels: np.ndarray, classes: tuple[str, ...], groups: Sequence[str]) -> None:
    """Check, before features are computed, that each class has enough images for each fold.

    Args:
        labels: as in `out_of_fold_logits`, like the others.
        classes: K names.
        groups: of each image.

    Raises:
        DataError: if a class has fewer groups than there are folds.

    """
    sizes = Counter(label for label, _ in set(zip(labels.tolist(), groups, strict=True)))
    rarest = min(range(len(classes)), key=sizes.__getitem__)
    if sizes[rarest] < FOLDS:
        raise DataError(
            f"class {classes[rarest]} has {sizes[rarest]} different images; cross-validation in "
            f"{FOLDS} folds needs at least {FOLDS} of each class"
        )
