from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foodvision.classifier.classifier import Classifier
from foodvision.errors import DataError
from foodvision.evaluation import evaluate
from tests.conftest import CLASSES, build_classifier


def test_metrics_equal_those_of_single_images(classifier: Classifier, patterns: Path) -> None:
    report = evaluate(classifier, patterns)
    assert (report.split, report.n) == ("test", 30)
    losses = [image.log_loss for image in report.images]
    assert report.log_loss == pytest.approx(sum(losses) / 30, abs=1e-12)
    right = sum(image.true == image.predicted for image in report.images)
    assert report.accuracy == right / 30
    first = report.images[0]
    assert first.name == "test/dots/1000.png"
    answer = classifier.predict(patterns / first.name)
    assert (answer.label, answer.probability) == (first.predicted, pytest.approx(first.probability))


def test_batch_size_does_not_matter(classifier: Classifier, patterns: Path) -> None:
    one, many = (evaluate(classifier, patterns, batch_size=size) for size in (1, 30))
    assert one.log_loss == pytest.approx(many.log_loss, abs=1e-6)


def test_classes_are_matched_by_name_not_by_position(patterns: Path) -> None:
    forward = build_classifier(classes=CLASSES)
    backward = build_classifier(classes=CLASSES[::-1])
    order = [2, 1, 0]
    backward.network.head.weight.data = forward.network.head.weight.data[order]
    backward.network.head.bias.data = forward.network.head.bias.data[order]
    assert evaluate(backward, patterns).log_loss == pytest.approx(
        evaluate(forward, patterns).log_loss, abs=1e-6
    )


def test_class_unknown_to_the_model(patterns: Path) -> None:
    with pytest.raises(DataError, match="class waves is not among the model's: dots, stripes, x"):
        evaluate(build_classifier(classes=("dots", "stripes", "x")), patterns)


def test_more_classes_in_the_model_than_in_the_data(patterns: Path) -> None:
    assert (
        evaluate(build_classifier(classes=(*CLASSES, "more")), patterns).per_class["more"]["n"] == 0
    )


def test_flat_folder_is_scored_whole_with_a_warning(
    classifier: Classifier, patterns: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = evaluate(classifier, patterns / "test")
    assert (report.split, report.n) == ("all", 30)
    assert "too good" in caplog.text


def test_split_can_be_chosen_and_a_missing_one_is_named(
    classifier: Classifier, patterns: Path
) -> None:
    assert evaluate(classifier, patterns, split="train").n == 90
    assert evaluate(classifier, patterns, split="all").n == 120
    with pytest.raises(DataError, match="has no split validation; it has test, train"):
        evaluate(classifier, patterns, split="validation")


def test_unreadable_images_are_counted_not_scored(
    classifier: Classifier, patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = shutil.copytree(patterns / "test", tmp_path / "d")
    (root / "dots" / "bad.jpg").write_text("I am a text.")
    report = evaluate(classifier, root)
    assert (report.n, len(report.unreadable)) == (30, 1)
    assert "dots/bad.jpg" in caplog.text
    for path in root.rglob("*.png"):
        path.write_text("broken")
    with pytest.raises(DataError, match="none of its 31 images can be opened"):
        evaluate(classifier, root)
