from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foodvision.classifier.output import write_predictions
from foodvision.classifier.predict import Prediction, find_inputs
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import DataError, FoodvisionError
from tests.conftest import draw_pattern
from tests.images.test_decode import bomb


def test_one_extreme_image_does_not_stop_the_others(
    classifier: TorchClassifier, tmp_path: Path
) -> None:
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
    assert sorted(find_inputs([text])[0]) == [str(photos / name) for name in IMAGES]
    assert caplog.messages == [
        f"{text}: 2 files left out, whose suffix is not that of an image: 1 .db, 1 .txt"
    ]


def test_named_files_are_tried_whatever_their_suffix(photos: Path) -> None:
    for pattern in ("notes.txt", "*.txt"):
        assert find_inputs([str(photos / "day" / pattern)]) == ([str(photos / "day/notes.txt")], [])


def test_a_bad_input_does_not_stop_the_others(photos: Path) -> None:
    os.mkfifo(photos / "fifo")
    reasons = {
        "": "is empty; give a file, folder, glob or URL, such as . for this folder",
        " ": "is empty; give a file, folder, glob or URL, such as . for this folder",
        str(photos / "empty"): "no images in this folder",
        str(photos / "*.gif"): "no such file or folder",
        "x" * 300: "cannot be read (File name too long)",
    }
    sources, missing = find_inputs([*reasons, str(photos / "1.png"), str(photos / "fifo")])
    assert sources == [str(photos / "1.png"), str(photos / "fifo")]  # which open_image refuses
    assert {row.path: row.error for row in missing} == reasons
    for text, reason in reasons.items():
        with pytest.raises(
            DataError, match=re.escape(f"{text if text.strip() else repr(text)}: {reason}")
        ):
            find_inputs([text])


def test_standard_input_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x" * 11)))
    monkeypatch.setattr("foodvision.classifier.predict.MAX_DOWNLOAD_BYTES", 10)
    with pytest.raises(DataError, match="-: standard input is larger than 0 MB"):
        find_inputs(["-"])


def test_names_are_text_wherever_they_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, label = "=1+1 \x1b[2J \udcff.png", "=HYPERLINK(1)\x1b"
    rows = [Prediction(path, label, 0.6, {label: 0.6, "b": 0.4}, sure=False)]
    rows.append(Prediction("-1.png", error="-1"))
    write_predictions(rows, 2, top=5)
    assert capsys.readouterr().out.splitlines() == [
        r" 60.0%  =HYPERLINK(1)\x1b   40.0%  b                 unsure  =1+1 \x1b[2J \udcff.png"
    ]
    write_predictions(rows, 2, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["path"] == path
    write_predictions(rows, 2, out=tmp_path / "rows.jsonl", classes=["b", label])
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == [path, "-1.png"]
    write_predictions(rows, 2, out=tmp_path / "rows.csv", classes=["b", label])
    with (tmp_path / "rows.csv").open(errors="surrogateescape", newline="") as file:
        header, *cells = csv.reader(file)
    assert header == ["path", "label", "probability", "sure", "error", "p_b", f"p_{label}"]
    assert cells == [
        [f"'{path}", f"'{label}", "0.6", "False", "", "0.4", "0.6"],
        ["'-1.png", "", "", "", "'-1", "", ""],
    ]


def test_an_empty_input_is_shown_where_all_fail() -> None:
    rows = [Prediction("", error="is empty"), Prediction("a.png", error="is damaged")]
    with pytest.raises(FoodvisionError, match="no image can be opened; '': is empty"):
        write_predictions(rows, 2, as_json=True)
