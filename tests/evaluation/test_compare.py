from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foodvision.classifier.info import ModelInfo
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import load_dataset
from foodvision.errors import DataError, FoodvisionError
from foodvision.evaluation import Comparison, Report, compare, evaluate
from foodvision.evaluation import speed as speed_module
from foodvision.evaluation.compare import distinct_names
from tests.conftest import CLASSES, build_classifier

MODULE = sys.modules["foodvision.evaluation.compare"]  # the name itself is the function's
HOSTILE = "=1+1|<b>$x_\x1b"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_module, "MAX_IMAGES", 4)
    monkeypatch.setattr(speed_module, "ROUNDS", 1)


def other_classifier() -> TorchClassifier:
    """Right on other images than `classifier`."""
    other = build_classifier()
    other.network.head.weight.data = -other.network.head.weight.data
    return other


@pytest.fixture
def folders(classifier: TorchClassifier, tmp_path: Path) -> list[Path]:
    classifier.save(tmp_path / "first")
    other_classifier().save(tmp_path / HOSTILE)
    return [tmp_path / "first", tmp_path / HOSTILE]


def test_each_row_is_what_evaluate_says(
    folders: list[Path], classifier: TorchClassifier, patterns: Path
) -> None:
    result = compare(folders, patterns)
    assert (result.split, result.n, result.unreadable) == ("test", 30, [])
    for folder, row in zip(folders, result.models, strict=True):
        report = evaluate(folder, patterns)
        assert row.name == folder.name
        assert row.accuracy == report.accuracy
        assert row.accuracy_ci95 == report.accuracy_ci95
        assert row.log_loss == pytest.approx(report.log_loss, abs=1e-12)
        low, high = row.log_loss_ci95
        assert low < row.log_loss < high
        assert row.parameters == sum(w.numel() for w in classifier.network.parameters())
        assert row.mb == (folder / "model.safetensors").stat().st_size / 1e6
        assert [speed.device for speed in row.speeds] == ["cpu"]
    (pair,) = result.pairs
    first, second = (evaluate(folder, patterns).images for folder in folders)
    alone = [a.predicted == a.true != b.predicted for a, b in zip(first, second, strict=True)]
    assert pair.first_only == sum(alone)
    losses = [b.log_loss - a.log_loss for a, b in zip(first, second, strict=True)]
    assert pair.log_loss_difference == pytest.approx(np.mean(losses), abs=1e-12)


def test_classes_are_matched_by_name(classifier: TorchClassifier, patterns: Path) -> None:
    backward = build_classifier(classes=CLASSES[::-1])
    for part in ("weight", "bias"):
        getattr(backward.network.head, part).data = getattr(classifier.network.head, part).data[
            [2, 1, 0]
        ]
    result = compare([classifier, backward], patterns)
    one, two = result.models
    assert two.log_loss == pytest.approx(one.log_loss, abs=1e-6)
    assert result.pairs[0].accuracy_p == 1
    assert not result.pairs[0].accuracy_established
    assert result.ratios()["model (2)"]["log_loss"] == pytest.approx(1, abs=1e-6)


def test_a_model_that_lacks_a_class_is_an_error_before_any_work(
    classifier: TorchClassifier, patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "evaluate", None)
    lacking = build_classifier(classes=("dots", "stripes", "x"))
    with pytest.raises(DataError, match=r"model \(2\): class waves is not among the model's"):
        compare([classifier, lacking], patterns)


def test_a_model_with_more_classes_is_compared(classifier: TorchClassifier, patterns: Path) -> None:
    more = build_classifier(classes=(*CLASSES, "more"))
    result = compare([classifier, more], patterns)
    assert result.models[1].log_loss == pytest.approx(evaluate(more, patterns).log_loss, abs=1e-12)
    (note,) = [line for line in result.summary().splitlines() if "chooses from" in line]
    assert note == "model (2) chooses from 4 classes, its log loss is over all of them."


def test_an_image_that_one_model_cannot_open_counts_for_none(
    classifier: TorchClassifier, patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = ["test/dots/1000.png", "test/waves/1009.png"]

    def failing(which: TorchClassifier, *args: object) -> Report:
        report = evaluate(which, patterns)
        missing = left_out[which is not classifier]
        kept = [image for image in report.images if image.name != missing]
        return replace(report, images=kept, unreadable=[f"{missing}: broken"])

    monkeypatch.setattr(MODULE, "evaluate", failing)
    result = compare([classifier, other_classifier()], patterns)
    assert result.n == 28
    assert result.unreadable == [f"{name}: broken" for name in left_out]
    assert "2 images cannot be opened and are not scored." in result.summary()
    kept = [i for i in evaluate(classifier, patterns).images if i.name not in left_out]
    assert result.models[0].log_loss == pytest.approx(np.mean([i.log_loss for i in kept]))
    assert result.models[0].accuracy == np.mean([i.true == i.predicted for i in kept])


def test_no_image_that_all_can_open(
    classifier: TorchClassifier, patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(which: TorchClassifier, *args: object) -> Report:
        report = evaluate(which, patterns)
        part = slice(0, 15) if which is classifier else slice(15, None)
        return replace(report, images=report.images[part])

    monkeypatch.setattr(MODULE, "evaluate", failing)
    with pytest.raises(DataError, match="no image can be opened by all models"):
        compare([classifier, other_classifier()], patterns)


def test_what_was_trained_comes_from_the_recipe(
    classifier: TorchClassifier, patterns: Path
) -> None:
    def trained_by(**recipe: str) -> int | None:
        info = ModelInfo(recipe=recipe)
        model = TorchClassifier(classifier.network, classifier.spec, CLASSES, info)
        return compare([model], patterns).models[0].trained

    head = 24 * 3 + 3
    total = sum(weight.numel() for weight in classifier.network.parameters())
    assert trained_by(method="probe") == head
    assert trained_by(method="finetune", trainable="head") == head
    assert trained_by(method="finetune", trainable="all") == total
    assert trained_by(method="scratch") == total
    assert trained_by() is None


def test_one_model_has_no_pairs(classifier: TorchClassifier, patterns: Path) -> None:
    result = compare([classifier], patterns)
    assert (result.pairs, result.ratios()) == ([], {})
    assert "Ratios" not in result.summary()
    tensors = sum(tensor.nbytes for tensor in classifier.network.state_dict().values())
    assert result.models[0].mb == tensors / 1e6  # it is not saved
    with pytest.raises(ValueError, match="there is no model to compare"):
        compare([], patterns)


def test_a_dataset_without_a_test_split(classifier: TorchClassifier, patterns: Path) -> None:
    dataset = load_dataset(patterns)
    del dataset.splits["test"]
    with pytest.raises(DataError, match="has no test split to compare on; it has train"):
        compare([classifier], dataset)
    assert compare([classifier], patterns / "test").split == "all"


def test_a_model_that_was_trained_on_the_images_is_named(
    folders: list[Path], patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Report, "overlap", lambda self: "trained on 3")
    result = compare(folders[:1], patterns)
    assert "first was trained on 3 of these images: its figures are too good." in result.summary()


def test_names_tell_models_apart(tmp_path: Path, classifier: TorchClassifier) -> None:
    for name in ("a/model", "b/model", "b/other"):
        (tmp_path / name).mkdir(parents=True)
    a, b, other = (tmp_path / name for name in ("a/model", "b/model", "b/other"))
    assert distinct_names([a, b, other]) == ["a/model", "b/model", "other"]
    assert distinct_names([a, str(a), a]) == ["model", "model (2)", "model (3)"]
    assert distinct_names(["owner/net", other]) == ["owner/net", "other"]
    assert distinct_names([classifier, classifier]) == ["model", "model (2)"]


def saved(folders: list[Path], patterns: Path, out: Path) -> Comparison:
    result = compare(folders, patterns, {"accuracy": 0.1, "fps": 1, "mb": 0.0001})
    result.save(out)
    return result


def test_files(folders: list[Path], patterns: Path, tmp_path: Path) -> None:
    result = saved(folders, patterns, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content == json.loads(json.dumps(result.to_dict()))
    speed = content["models"][0]["speeds"]["cpu"]
    assert speed["fps"] == pytest.approx(1 / speed["seconds_p50"])
    assert content["ratios"][HOSTILE]["parameters"] == 1
    assert [(v["goal"], v["met"]) for v in content["verdicts"]][::2] == [
        ("accuracy", True),
        ("fps", True),
        ("mb", False),
    ]
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert second["model"] == f"'{HOSTILE}"  # no formula
    assert float(first["log_loss"]) == result.models[0].log_loss
    assert float(first["cpu_seconds_p95"]) == result.models[0].speeds[0].seconds_p95
    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_names_are_text_in_every_file(folders: list[Path], patterns: Path, tmp_path: Path) -> None:
    result = saved(folders, patterns, tmp_path / "out")
    assert "\x1b" not in result.summary()
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "=1+1|&lt;b&gt;$x_\\x1b" in page
    assert "<b>" not in page
    assert "data:image/png;base64," in page
    markdown = (tmp_path / "out" / "comparison.md").read_text()
    assert "| =1+1\\|\\<b\\>\\$x\\_\\\\x1b |" in markdown
    assert markdown.startswith("# test of ")
    for section in ("Quality and size", "Speed on cpu", "Ratios to first", "Goals"):
        assert f"\n## {section}" in markdown


def test_a_folder_that_cannot_be_written(folders: list[Path], patterns: Path) -> None:
    result = compare(folders[:1], patterns)
    with pytest.raises(FoodvisionError, match="cannot be written"):
        result.save(folders[0] / "config.json" / "out")


def test_significance_is_said_in_words(folders: list[Path], patterns: Path) -> None:
    result = compare(folders, patterns)
    pair = replace(result.pairs[0], accuracy_established=True, log_loss_established=False)
    text = replace(result, pairs=[pair]).summary()
    (line,) = [line for line in text.splitlines() if " minus first" in line]
    _, accuracy, of_accuracy, _, of_log_loss, *_ = re.split(r" {2,}", line)
    assert (accuracy[-1], of_accuracy) == ("%", "established")
    assert of_log_loss == "not established at n = 30"
    assert "5 % over 1 pair (Holm)" in text
