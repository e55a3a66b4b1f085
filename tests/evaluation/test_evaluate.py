from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import datasets
import pytest

from foodvision.classifier.classifier import Classifier
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.errors import DataError, FoodvisionError
from foodvision.evaluation import evaluate
from tests.conftest import CLASSES, build_classifier


def test_metrics_equal_those_of_single_images(classifier: TorchClassifier, patterns: Path) -> None:
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


def test_batch_size_does_not_matter(classifier: TorchClassifier, patterns: Path) -> None:
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
    classifier: TorchClassifier, patterns: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = evaluate(classifier, patterns / "test")
    assert (report.split, report.n) == ("all", 30)
    assert "too good" in caplog.text


def test_split_can_be_chosen_and_a_missing_one_is_named(
    classifier: TorchClassifier, patterns: Path
) -> None:
    assert evaluate(classifier, patterns, split="train").n == 90
    assert evaluate(classifier, patterns, split="all").n == 120
    assert evaluate(classifier, patterns, split="testing").split == "test"
    with pytest.raises(DataError, match="has no split validation; it has test, train, all"):
        evaluate(classifier, patterns, split="val")


def test_a_report_says_what_computed(
    classifier: TorchClassifier, exported: Path, patterns: Path
) -> None:
    report = evaluate(classifier, patterns).to_dict()
    assert (report["backend"], report["precision"]) == ("torch", "float32")
    graph = Classifier.load(exported, backend="onnx/float32")
    report = evaluate(graph, patterns).to_dict()
    assert (report["backend"], report["precision"]) == ("onnx/float32", "float32")
    with pytest.raises(FoodvisionError, match="graph onnx/float32 is computed in float32; choose"):
        evaluate(graph, patterns, precision="bf16")


def test_unreadable_images_are_counted_not_scored(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
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


@pytest.fixture
def run(classifier: TorchClassifier, patterns: Path, tmp_path: Path) -> Path:
    """A model that was trained on 20 test images of `patterns`, and chosen by 4 others."""
    images = sorted((patterns / "test").rglob("*.png"))
    rows = ["name,class,sha256,split"]
    for i, path in enumerate(images[:24]):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(f"{i}.png,dots,{digest},{'train' if i < 20 else 'validation'}")
    classifier.save(tmp_path / "run")
    (tmp_path / "run" / "split.csv").write_text("\n".join(rows))
    return tmp_path / "run"


def test_images_the_model_was_trained_on_are_counted_and_left_out_beside(
    run: Path, patterns: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    root = tmp_path / "renamed"
    for i, path in enumerate(sorted((patterns / "test").rglob("*.png"))):
        (root / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.parent.name / f"image{i}.png")
    report = evaluate(run, root)
    assert (report.n, report.trained_on, report.chosen_by) == (30, 20, 4)
    seen = [image.seen for image in report.images]
    assert seen == ["train"] * 20 + ["validation"] * 4 + [""] * 6
    assert report.unseen
    rest = report.images[24:]
    assert report.unseen.n == 6
    assert report.unseen.accuracy == sum(image.true == image.predicted for image in rest) / 6
    mean = sum(image.log_loss for image in rest) / 6
    assert report.unseen.log_loss == pytest.approx(mean, abs=1e-12)
    assert caplog.messages[-1] == (
        "the model was trained on 20 and chosen by 4 of these 30 images: the result is too good"
    )
    first, second, *_ = report.summary().splitlines()
    assert first.endswith("n = 30, of which the model was trained on 20 and chosen by 4")
    assert second == f"the others: {report.unseen}"
    assert report.to_dict()["unseen"]["n"] == 6


def test_images_in_parquet_files_are_recognised_as_well(
    run: Path, patterns: Path, tmp_path: Path
) -> None:
    paths = sorted((patterns / "test").rglob("*.png"))
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
    )
    columns = {
        "image": [{"bytes": path.read_bytes(), "path": None} for path in paths],
        "label": [path.parent.name for path in paths],
    }
    rows = datasets.Dataset.from_dict(columns, features=features)
    rows.to_parquet(tmp_path / "test-0.parquet")
    report = evaluate(run, str(tmp_path / "*.parquet"))
    assert (report.n, report.trained_on, report.chosen_by) == (30, 20, 4)


def test_a_classifier_knows_the_folder_it_was_first_saved_to(
    classifier: TorchClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "run")
    classifier.save(tmp_path / "copy")  # without split.csv
    assert classifier.folder == tmp_path / "run"


def test_training_images_that_the_user_asks_for_are_expected(run: Path, patterns: Path) -> None:
    report = evaluate(run, load_dataset(patterns), "train")  # none of which is in split.csv
    assert (report.trained_on, report.chosen_by, report.overlap()) == (0, 0, "")
    assert report.unseen
    assert report.unseen.n == report.n
    on = {"train": "", "validation": "trained on 3", "test": "trained on 3 and chosen by 2"}
    for split, overlap in on.items():
        assert replace(report, split=split, trained_on=3, chosen_by=2).overlap() == overlap


def test_nothing_is_claimed_without_a_record_of_the_run(
    run: Path, patterns: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (run / "split.csv").write_text("name,class,sha256,split\n1.png,dots,no hash,train\n")
    damaged = evaluate(run, patterns)
    assert "split.csv: cannot be read (damaged)" in caplog.text
    (run / "split.csv").unlink()
    for report in (damaged, evaluate(run, patterns)):
        assert (report.trained_on, report.chosen_by, report.unseen) == (None, None, None)
        assert report.overlap() == ""


def test_test_images_that_are_in_train_are_a_warning_if_nothing_else_is_known(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = shutil.copytree(patterns, tmp_path / "d")
    evaluate(classifier, root)
    assert "identical images" not in caplog.text
    for number in (1001, 1002):
        shutil.copy(root / f"test/dots/{number}.png", root / f"train/dots/{number}.png")
    evaluate(classifier, root)
    assert "identical images in test and in train: 2 of 30; the result is too good" in caplog.text


def test_one_image_under_two_classes_is_a_warning(
    classifier: TorchClassifier, patterns: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = shutil.copytree(patterns / "test", tmp_path / "d")
    shutil.copy(root / "dots" / "1000.png", root / "dots" / "again.png")
    evaluate(classifier, root)
    assert "two classes" not in caplog.text
    shutil.copy(root / "dots" / "1000.png", root / "waves" / "copy.png")
    evaluate(classifier, root)
    warning = "identical images under two classes: 1; the first is dots/1000.png and waves/copy.png"
    assert warning in caplog.text
