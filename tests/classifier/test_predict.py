from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foodvision.classifier.output import write_predictions
from foodvision.classifier.predict import Prediction
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import FoodvisionError
from foodvision.rows.output import open_table
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
    write_predictions(rows, 2, open_table(tmp_path / "rows.jsonl"), classes=["b", label])
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == [path, "-1.png"]
    write_predictions(rows, 2, open_table(tmp_path / "rows.csv"), classes=["b", label])
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
