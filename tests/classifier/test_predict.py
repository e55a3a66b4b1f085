from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foodvision.classifier.classifier import Classifier
from tests.conftest import draw_pattern
from tests.images.test_decode import bomb


def test_one_extreme_image_does_not_cost_the_others(classifier: Classifier, tmp_path: Path) -> None:
    good = [draw_pattern("dots", seed) for seed in range(3)]
    Image.fromarray(np.zeros((20_000, 1), np.uint8)).save(tmp_path / "thin.png")
    sources = [good[0], tmp_path / "thin.png", good[1], bomb(), good[2]]
    answers = list(classifier.predict_many(sources))
    assert [answer.error is None for answer in answers] == [True, True, True, False, True]
    for answer, expected in zip(answers[::2], classifier.predict_many(good), strict=True):
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
