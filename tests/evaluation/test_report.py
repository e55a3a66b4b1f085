from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from foodvision.classifier.classifier import Classifier
from foodvision.errors import FoodvisionError
from foodvision.evaluation import evaluate
from tests.conftest import CLASSES, build_classifier, draw_pattern


def test_report_folder(classifier: Classifier, patterns: Path, tmp_path: Path) -> None:
    report = evaluate(classifier, patterns)
    history = [
        {"epoch": i, "train_loss": 1 / i, "log_loss": 1 / i, "accuracy": 0.5} for i in (1, 2, 3)
    ]
    report.save(tmp_path / "report", history)
    saved = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert saved["log_loss"] == report.log_loss
    assert "images" not in saved
    with (tmp_path / "report" / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 30
    for name in ("confusion.png", "curves.png"):
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").touch()
    with pytest.raises(FoodvisionError, match="cannot be written"):
        report.save(tmp_path / "file")


def test_names_are_text_in_every_file(tmp_path: Path) -> None:
    classes = ("=1+1$ $", "\x1b[31mred", "not utf-8 \udcff")
    classifier = build_classifier(classes=classes)
    for label, pattern in zip(classes, CLASSES, strict=True):
        folder = tmp_path / "data" / label
        folder.mkdir(parents=True)
        draw_pattern(pattern, 1).save(folder / "-1\udcff.png")
    report = evaluate(classifier, tmp_path / "data")
    assert "\x1b" not in report.summary()
    report.summary().encode()
    report.save(tmp_path / "report")
    saved = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert saved["classes"] == list(classes)
    path = tmp_path / "report" / "predictions.csv"
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["true"] for row in rows} == {"'=1+1$ $", *classes[1:]}
    assert rows[2]["name"] == f"{classes[2]}/-1\udcff.png"
