from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from foodvision.classifier.classifier import Classifier
from foodvision.errors import FoodvisionError
from foodvision.evaluation import evaluate


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
