from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foodvision.data import load_dataset
from foodvision.data.duplicates import Duplicates
from foodvision.errors import DataError, FoodvisionError, MissingExtraError, ModelError
from foodvision.evaluation import Findings, check, label_errors
from foodvision.evaluation.check_page import save_page
from foodvision.evaluation.findings import Pair, Place, Suspect
from foodvision.evaluation.fix_list import list_fixes, save_fix_list
from tests.conftest import CLASSES, build_classifier, draw_pattern

CHECK = sys.modules["foodvision.evaluation.check"]  # the package's `check` is the function


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """4 different training images and 2 test images of each class."""
    root = tmp_path / "photos"
    for split, seeds in (("train", range(4)), ("test", range(100, 102))):
        for label in CLASSES:
            (root / split / label).mkdir(parents=True)
            for seed in seeds:
                image = draw_pattern(label, seed, (48, 64))
                image.save(root / split / label / f"{seed}.png")
    return root


@pytest.fixture
def only_identical(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns look alike: near-duplicates are tested with `find_duplicates`."""

    def find(sha256: list[str], sketches: np.ndarray) -> Duplicates:
        groups = [
            [i for i, d in enumerate(sha256) if d == digest] for digest in dict.fromkeys(sha256)
        ]
        none = np.zeros((0, 2), np.int64)
        identical = [group for group in groups if len(group) > 1]
        return Duplicates(len(sha256), identical, none, np.zeros(0))

    monkeypatch.setattr(CHECK, "find_duplicates", find)


pytestmark = pytest.mark.usefixtures("only_identical")


def kinds(findings: Findings) -> dict[str, int]:
    return findings.to_dict()["counts"]


def test_a_clean_dataset(root: Path, tmp_path: Path) -> None:
    findings = check(root)
    assert kinds(findings) == {"small class": 3}
    assert findings.suspects is None
    assert "labels were not checked; --features MODEL" in findings.summary()
    save_page(findings, tmp_path / "page.html")
    save_fix_list(findings, tmp_path / "fixes.csv")
    assert (tmp_path / "fixes.csv").read_text() == "path,problem,action,suggested_class\n"


def test_leaks_and_two_labels_come_first(root: Path) -> None:
    shutil.copy(root / "train/dots/0.png", root / "test/dots/leak.png")
    shutil.copy(root / "train/dots/1.png", root / "train/waves/other.png")
    shutil.copy(root / "train/waves/2.png", root / "train/waves/copy.png")
    findings = check(root)
    assert kinds(findings) == {
        "in two splits": 1,
        "under two labels": 1,
        "duplicate": 1,
        "small class": 3,
    }
    assert findings.leaks() == {"test": 1}
    first = findings.to_dict()["duplicates"][0]
    assert first["first"] == {"path": "train/dots/0.png", "split": "train", "class": "dots"}
    assert first["second"] == {"path": "test/dots/leak.png", "split": "test", "class": "dots"}
    assert (first["identical"], first["across_splits"]) == (True, True)
    lines = findings.summary().splitlines()
    assert lines[1:3] == [
        "errors",
        "  in two splits          1  train/dots/0.png = test/dots/leak.png",
    ]
    assert "1 of 7 test images are in train too" in findings.summary()
    fixes = {fix.path: fix.action for fix in list_fixes(findings)}
    assert fixes == dict.fromkeys(
        (
            "train/dots/0.png",  # and not the test image
            "train/dots/1.png",
            "train/waves/other.png",
            "train/waves/copy.png",
        ),
        "remove",
    )


def test_copies_within_test_are_no_leak(root: Path) -> None:
    shutil.copy(root / "test/dots/100.png", root / "test/dots/again.png")
    assert check(root).leaks() == {}


def test_of_copies_in_several_splits_only_that_in_test_is_kept(root: Path) -> None:
    for copy in ("train/dots/a.png", "train/dots/b.png", "test/dots/c.png"):
        shutil.copy(root / "train/dots/0.png", root / copy)
    removed = {fix.path for fix in list_fixes(check(root))}
    assert removed == {"train/dots/0.png", "train/dots/a.png", "train/dots/b.png"}


def test_faulty_files_and_those_left_out(root: Path) -> None:
    (root / "train/dots/cut.png").write_bytes((root / "train/dots/0.png").read_bytes()[:900])
    (root / "train/dots/empty.jpg").touch()
    (root / "train/dots/photo.txt").write_bytes((root / "train/dots/1.png").read_bytes())
    (root / "train/dots/notes.txt").write_text("none")
    Image.new("L", (90, 10), 7).save(root / "train/waves/thin.png")
    findings = check(root)
    found = [(f.place.path, f.fault.kind) for f in findings.faults]
    assert found == [
        ("train/dots/cut.png", "unreadable"),
        ("train/dots/empty.jpg", "unreadable"),
        ("train/waves/thin.png", "tiny"),
        ("train/waves/thin.png", "extreme shape"),
        ("train/waves/thin.png", "grey"),
        ("train/dots/photo.txt", "wrong extension"),
    ]
    assert [(f.path, f.action) for f in list_fixes(findings)] == [
        ("train/dots/cut.png", "remove"),
        ("train/dots/empty.jpg", "remove"),
    ]


def test_classes_that_cannot_be_trained_on_are_reported(root: Path) -> None:
    shutil.rmtree(root / "test/dots")
    (root / "train/empty").mkdir()
    (root / "test/mine").mkdir()
    draw_pattern("dots", 7).save(root / "test/mine/7.png")
    for seed in range(4, 12):
        draw_pattern("waves", seed).save(root / f"train/waves/{seed}.png")
    with pytest.raises(DataError):
        load_dataset(root)
    faults = {(fault.severity, fault.detail) for fault in check(root).classes}
    assert ("error", "empty: has no image") in faults
    assert ("error", "mine: no image in train") in faults
    assert ("warning", "dots: no image in test") in faults
    assert ("warning", "waves has 12 images in train, dots has 4") in faults


def test_one_class_is_reported(tmp_path: Path) -> None:
    (tmp_path / "d" / "only").mkdir(parents=True)
    draw_pattern("dots", 1).save(tmp_path / "d" / "only" / "1.png")
    assert "one class" in kinds(check(tmp_path / "d"))


def test_no_image_that_opens(root: Path) -> None:
    for path in root.glob("*/*/*.png"):
        path.write_text("text")
    findings = check(root)
    assert kinds(findings)["unreadable"] == 18
    assert findings.pairs == []


def test_swapped_labels_are_the_first_suspects(
    patterns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(patterns, tmp_path / "patterns")
    (root / "train/dots/003.png").rename(root / "train/waves/swapped.png")
    (root / "test/stripes/1003.png").rename(root / "test/dots/swapped.png")
    build_classifier().save(tmp_path / "model")

    class ByClass:
        """Features that tell the patterns apart by their drawn class."""

        def __init__(self, *given: object) -> None:
            assert given[2] == "float32"

        def of(self, inventory: object) -> np.ndarray:
            names = inventory.images.names()  # type: ignore[attr-defined]
            truth = {"train/waves/swapped.png": "dots", "test/dots/swapped.png": "stripes"}
            labels = [CLASSES.index(truth.get(name, name.split("/")[1])) for name in names]
            noise = np.random.default_rng(0).normal(0, 0.1, (len(names), 8))
            return (np.eye(3, 8)[labels] + noise).astype(np.float32)

    monkeypatch.setattr(label_errors, "Features", ByClass)
    findings = check(root, str(tmp_path / "model"))
    assert findings.suspects is not None
    found = {(s.place.path, s.place.label, s.suggested) for s in findings.suspects}
    assert found == {
        ("train/waves/swapped.png", "waves", "dots"),
        ("test/dots/swapped.png", "dots", "stripes"),
    }
    for fix in list_fixes(findings):
        assert (fix.action, fix.suggested_class) in (("relabel", "dots"), ("relabel", "stripes"))
    assert all(s.probability > 0.5 > s.given_probability for s in findings.suspects)


def test_small_classes_are_left_out_of_the_label_check(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(root / "test")
    build_classifier().save(tmp_path / "model")
    findings = check(root, str(tmp_path / "model"))
    assert findings.suspects is None  # 4 images of each class, and 5 folds
    assert "labels of small classes are not checked" in caplog.text


def test_cleanlab_missing_fails_before_the_work(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setattr(CHECK, "_survey", lambda images: 1 / 0)
    with pytest.raises(MissingExtraError, match=r"pip install 'foodvision\[data\]'"):
        check(root, "nowhere")


def test_mistyped_weights_or_device_fail_before_the_work(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHECK, "_survey", lambda images: 1 / 0)
    with pytest.raises(ModelError, match="nowhere: no such file or folder"):
        check(root, "nowhere")
    build_classifier().save(tmp_path / "model")
    with pytest.raises(FoodvisionError, match="abacus"):
        check(root, str(tmp_path / "model"), device="abacus")


def test_hostile_names(root: Path, tmp_path: Path) -> None:
    evil = "=<script>alert(1)</script>\x1b[31m".replace("/", "∕")
    folder = root / "train" / evil
    folder.mkdir()
    for seed in range(2):
        draw_pattern("dots", 50 + seed).save(folder / f"{seed}.png")
    (folder / "bad.png").write_text("text")
    findings = check(root)
    place = Place("=1+1.png", "train", evil)
    suspect = Suspect(place, "@class", 0.9, 0.1)
    findings = Findings(
        findings.data, findings.splits, findings.classes, findings.faults,
        [Pair(place, place, 0.98)], [], [suspect], findings.images,
    )  # fmt: skip
    assert "\x1b" not in findings.summary()
    save_page(findings, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "\x1b" not in page
    save_fix_list(findings, tmp_path / "fixes.csv")
    rows = list(csv.reader((tmp_path / "fixes.csv").read_text().splitlines()))
    assert rows[-1][0] == "'=1+1.png"
    assert rows[-1][3] == "'@class"
    json.dumps(findings.to_dict())


def test_the_page_shows_pairs_side_by_side_and_a_bounded_number(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foodvision.evaluation.check_page.PAIRS", 2)
    for i in range(3):
        shutil.copy(root / "train/dots/0.png", root / f"test/dots/leak{i}.png")
    (root / "train/dots/empty.jpg").touch()
    save_page(check(root), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count('class="pair"') == 2
    assert page.count("data:image/jpeg") == 4  # and none of the image that does not open
    assert "The first 2 of 3." in page
    assert "train/dots/empty.jpg" in page
    assert "http" not in page
