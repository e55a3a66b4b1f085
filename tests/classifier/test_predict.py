from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foodvision.classifier.classifier import Classifier
from foodvision.classifier.predict import find_inputs
from foodvision.errors import DataError
from tests.conftest import draw_pattern
from tests.images.test_decode import bomb


def test_one_extreme_image_does_not_stop_the_others(classifier: Classifier, tmp_path: Path) -> None:
    good = [draw_pattern("dots", seed) for seed in range(3)]
    Image.fromarray(np.zeros((20_000, 1), np.uint8)).save(tmp_path / "thin.png")
    sources = [good[0], tmp_path / "thin.png", good[1], bomb(), good[2]]
    answers = list(classifier.predict_many(sources))
    assert [answer.error is None for answer in answers] == [True, True, True, False, True]
    for answer, expected in zip(answers[::2], classifier.predict_many(good), strict=True):
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-5)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("1.png", "2.jfif", "day/3.JPE", "day/deep/4.tif", "day/notes.txt", "Thumbs.db"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "empty").mkdir()
    return folder


IMAGES = ["1.png", "2.jfif", "day/3.JPE", "day/deep/4.tif"]


@pytest.mark.parametrize("pattern", ["", "*", "**", "**/*"])
def test_folders_in_a_glob_are_folders(
    pattern: str, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = str(photos / pattern)
    assert sorted(find_inputs([text])) == [str(photos / name) for name in IMAGES]
    assert caplog.messages == [
        f"{text}: 2 files left out, whose suffix is not that of an image: 1 .db, 1 .txt"
    ]


def test_named_files_are_tried_whatever_their_suffix(photos: Path) -> None:
    assert find_inputs([str(photos / "day/notes.txt")]) == [str(photos / "day/notes.txt")]
    assert find_inputs([str(photos / "day/*.txt")]) == [str(photos / "day/notes.txt")]
    with pytest.raises(DataError, match="empty: no images in this folder"):
        find_inputs([str(photos / "empty")])
    with pytest.raises(DataError, match="no such file or folder"):
        find_inputs([str(photos / "*.gif")])
