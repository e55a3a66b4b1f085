from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foodvision.classifier.info import Calibration
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import FoodvisionError
from foodvision.evaluation import evaluate, page
from foodvision.evaluation.report import Report, make_report_folder
from tests.conftest import CLASSES, build_classifier, draw_pattern

EPOCHS = [
    {"epoch": i, "train_loss": 1 / i, "train_accuracy": 0.5, "log_loss": loss, "accuracy": 0.5}
    for i, loss in ((1, None), (2, 0.7))
]
PENALTIES = [
    {"l2": l2, "train_loss": 0.2, "train_accuracy": 0.9, "log_loss": 0.5, "accuracy": 0.8}
    for l2 in (10.0, 1.0)
]


def html_of(report: Report, folder: Path) -> str:
    return report.save(folder).read_text("utf-8")


def captions(html: str) -> list[str]:
    """The text below each image of the page, in its order."""
    found = re.findall("<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    return [" ".join(re.sub("<[^>]+>", " ", caption).split()) for caption in found]


def calibrated(classifier: TorchClassifier, temperature: float) -> TorchClassifier:
    """The same classifier with its temperature folded into the head."""
    head = classifier.network.head
    head.weight.data /= temperature
    head.bias.data /= temperature
    fitted = Calibration(
        temperature=temperature,
        n=40,
        log_loss_before=1,
        log_loss_after=1,
        ece_before=0,
        ece_after=0,
    )
    classifier.info = classifier.info.model_copy(update={"calibration": fitted})
    return classifier


def test_a_report_is_one_page_and_its_parts(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path
) -> None:
    report = evaluate(classifier, patterns)
    html = html_of(report, tmp_path / "report")
    parts = {"report.html", "metrics.json", "predictions.csv", "confusion.png", "reliability.png"}
    assert {path.name for path in (tmp_path / "report").iterdir()} == parts
    saved = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert saved["log_loss"] == report.log_loss
    assert not {"images", "source"} & saved.keys()
    assert f"<b>{report.log_loss:.4f}</b>log loss" in html
    assert f"<b>{report.accuracy:.1%}</b>accuracy" in html
    # Self-contained: nothing is fetched, and no script runs.
    assert not re.findall(r"(?:src|href)=\"(?!data:)", html)
    assert "<script" not in html
    (tmp_path / "file").touch()
    with pytest.raises(FoodvisionError, match="cannot be written"):
        report.save(tmp_path / "file")


def test_each_row_has_the_probability_of_every_class(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path
) -> None:
    report = evaluate(classifier, patterns)
    report.save(tmp_path)
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("path", "true", "predicted", "probability", "log_loss", "seen"),
        *("p_dots", "p_stripes", "p_waves"),
    ]
    for row, image in zip(rows, report.images, strict=True):
        shares = {name: float(row[f"p_{name}"]) for name in CLASSES}
        assert tuple(shares.values()) == image.probabilities
        expected = classifier.predict(patterns / row["path"]).probabilities
        assert shares == pytest.approx(expected, abs=1e-5)
        assert max(shares, key=lambda name: shares[name]) == row["predicted"]
        assert float(row["probability"]) == shares[row["predicted"]]
        assert float(row["log_loss"]) == pytest.approx(-np.log(shares[row["true"]]), abs=1e-12)


def test_the_most_wrong_come_first_and_only_shown_images_are_opened(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = evaluate(classifier, patterns)
    monkeypatch.setattr(page, "MOST_WRONG", 5)
    monkeypatch.setattr(page, "LEAST_SURE", 3)
    opened = []
    small = page.thumbnail
    monkeypatch.setattr(page, "thumbnail", lambda *a: opened.append(a) or small(*a))
    html = html_of(report, tmp_path)
    wrong = [image for image in report.images if image.predicted != image.true]
    right = [image for image in report.images if image.predicted == image.true]
    wrong.sort(key=lambda image: image.probability, reverse=True)
    right.sort(key=lambda image: image.probability)
    assert f"5 of {len(wrong)} wrong answers" in html
    assert f"3 of {len(right)} right answers" in html
    assert captions(html) == [
        f"True {image.true} | Predicted {image.predicted} | Probability "
        f"{image.probability:.1%} log loss {image.log_loss:.2f} {image.name}"
        for image in [*wrong[:5], *right[:3]]
    ]
    assert len(opened) == 8


def test_a_file_that_has_disappeared_is_a_caption_without_an_image(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(patterns / "test", tmp_path / "d")
    (root / "dots" / "0.jpg").write_text("is not scored, and must not shift the others")
    report = evaluate(classifier, root)
    for image, example in zip(report.images, report.source.images, strict=True):
        assert image.name == example.name
    (worst,) = sorted(
        (image for image in report.images if image.predicted != image.true),
        key=lambda image: -image.probability,
    )[:1]
    (root / worst.name).unlink()
    html = html_of(report, tmp_path / "r")
    figures = html.split("<figure>")[1:]
    assert "cannot be opened any more" in figures[0]
    assert worst.name in figures[0]
    assert all("<img" in figure for figure in figures[1:])
    assert "Images that cannot be opened and are not scored: 1" in html


def test_calibration_before_and_after_the_temperature(patterns: Path, tmp_path: Path) -> None:
    plain = evaluate(build_classifier(), patterns)
    assert plain.uncalibrated is None
    assert "The model is not calibrated" in html_of(plain, tmp_path / "a")
    report = evaluate(calibrated(build_classifier(), 3.0), patterns)
    before = report.uncalibrated
    assert before
    assert before.log_loss == pytest.approx(plain.log_loss, abs=1e-5)
    assert before.ece == pytest.approx(plain.ece, abs=1e-5)
    assert [row["n"] for row in before.reliability] == [row["n"] for row in plain.reliability]
    assert abs(report.log_loss - plain.log_loss) > 0.05
    html = html_of(report, tmp_path / "b")
    table = html[html.index("<th>temperature scaling</th>") :]
    assert table.index(f"{plain.log_loss:.4f}") < table.index(f"{report.log_loss:.4f}")
    assert report.to_dict()["uncalibrated"]["temperature"] == 3.0


@pytest.mark.parametrize("history", [EPOCHS, PENALTIES])
def test_the_curves_are_those_of_the_models_folder(
    history: list[dict[str, float]], classifier: TorchClassifier, patterns: Path, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "model")
    lines = "".join(json.dumps(line) + "\n" for line in history)
    (tmp_path / "model" / "history.jsonl").write_text(lines)
    html = html_of(evaluate(classifier, patterns), tmp_path / "r")
    assert (tmp_path / "r" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert ("by epoch" in html, "by L2 penalty" in html) == (
        history is EPOCHS,
        history is PENALTIES,
    )


def test_the_curves_of_another_model_do_not_stay(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path
) -> None:
    (tmp_path / "curves.png").write_bytes(b"of an earlier report")
    evaluate(classifier, patterns).save(tmp_path)
    assert not (tmp_path / "curves.png").exists()


def test_a_folder_that_cannot_be_written_fails_before_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(FoodvisionError, match="is a folder"):
        make_report_folder(tmp_path)

    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(FoodvisionError, match="cannot be written"):
        make_report_folder(tmp_path / "new")


def test_the_metrics_of_a_run_are_not_overwritten(
    classifier: TorchClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path)
    with pytest.raises(FoodvisionError, match=r"folder of a model.*give another, such as --out"):
        make_report_folder(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[1]", '{"epoch": 1}', json.dumps(EPOCHS[1] | {"accuracy": "high"})]
)
def test_a_damaged_history_does_not_stop_a_report(
    text: str,
    classifier: TorchClassifier,
    patterns: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    classifier.save(tmp_path / "model")
    (tmp_path / "model" / "history.jsonl").write_text(text)
    html = html_of(evaluate(classifier, patterns), tmp_path / "r")
    assert "<h2>Training</h2>" not in html
    assert ("history.jsonl: cannot be read" in caplog.text) == bool(text)


def test_the_page_says_what_the_model_was_trained_on(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path
) -> None:
    report = evaluate(classifier, patterns)
    says = {
        "It is not known which images": report,
        "neither trained on nor chosen by": replace(report, trained_on=0, chosen_by=0),
        "was trained on 7 of these 30 images: the result is too good": replace(
            report, trained_on=7, chosen_by=0
        ),
        "These are the train images": replace(report, split="train", trained_on=30, chosen_by=0),
    }
    for text, changed in says.items():
        html = html_of(changed, tmp_path)
        assert [text in html for text in says] == [text == other for other in says]


def test_many_classes_are_listed_from_the_weakest(patterns: Path, tmp_path: Path) -> None:
    classes = (*CLASSES, *(f"more {i}" for i in range(30)))
    html = html_of(evaluate(build_classifier(classes=classes), patterns), tmp_path)
    rows = re.findall(r"<tr><td>(.*?)</td><td>(\d+)</td>.*?<td>([^<]+)</td></tr>", html)[:33]
    f1 = [float(value.rstrip("%")) for _, _, value in rows if value != "–"]
    assert {name for name, _, _ in rows} == set(classes)
    assert f1 == sorted(f1)
    assert all(value != "–" for _, n, value in rows if n != "0")


def test_names_are_text_in_every_file(tmp_path: Path) -> None:
    classes = ("=1+1$ $", "\x1b[31mred<b>", "not utf-8 \udcff")
    classifier = build_classifier(classes=classes)
    for label, pattern in zip(classes, CLASSES, strict=True):
        folder = tmp_path / "data" / label
        folder.mkdir(parents=True)
        draw_pattern(pattern, 1).save(folder / "-1\udcff.png")
    report = evaluate(classifier, tmp_path / "data")
    assert "\x1b" not in report.summary()
    report.summary().encode()
    html = html_of(report, tmp_path / "report")
    assert "\x1b" not in html
    assert "\\x1b[31mred&lt;b&gt;" in html
    saved = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert saved["classes"] == list(classes)
    path = tmp_path / "report" / "predictions.csv"
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["true"] for row in rows} == {"'=1+1$ $", *classes[1:]}
    assert rows[2]["path"] == f"{classes[2]}/-1\udcff.png"
