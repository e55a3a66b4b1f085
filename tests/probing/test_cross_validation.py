import numpy as np
import pytest

from foodvision.errors import DataError
from foodvision.probing.cross_validation import out_of_fold_logits

CLASSES = ("red", "green", "blue")


def _clusters(n: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return (np.eye(3, 8)[labels] + noise * random.normal(size=(n, 8))).astype(np.float32), labels


def test_an_image_has_no_say_in_its_own_logits() -> None:
    features, labels = _clusters(90, 0.05)
    labels[7] = (labels[7] + 1) % 3  # a wrong label
    names = [str(i) for i in range(90)]

    predicted = out_of_fold_logits(features, labels, CLASSES, names).argmax(axis=1)

    assert (predicted != labels).nonzero()[0].tolist() == [7]


def test_copies_are_in_the_same_fold() -> None:
    """Each image has a copy with the same random label: whoever has seen one knows the other."""
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(60, 80)).astype(np.float32), random.integers(0, 3, 60)
    copied, twice = np.tile(features, (2, 1)), np.tile(labels, 2)
    each = [str(i) for i in range(120)]

    apart = out_of_fold_logits(copied, twice, CLASSES, each).argmax(axis=1)
    together = out_of_fold_logits(copied, twice, CLASSES, each[:60] * 2).argmax(axis=1)

    assert (apart == twice).mean() > 0.6 > 0.5 > (together == twice).mean()


def test_a_class_with_too_few_images_is_named() -> None:
    features, labels = _clusters(30, 0.05)
    labels[labels == 2] = 0
    labels[:4] = 2
    with pytest.raises(DataError, match="class blue has 4 different images"):
        out_of_fold_logits(features, labels, CLASSES, [str(i) for i in range(30)])
