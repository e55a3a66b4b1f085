from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from foodvision.data import Dataset, load_dataset
from foodvision.errors import DataError
from foodvision.paper.course_data import course_cut
from foodvision.paper.course_figures import ORIGINALS, TEST

NAMED = {original.name: original for original in ORIGINALS}
CUTS = {"frozen_10": (225, 75), "frozen_20": (450, 75), "vit_20": (450, 150)}


def write_files(root: Path, train: int, test: int, classes: tuple[str, ...]) -> Dataset:
    """The cut reads bytes and opens no image."""
    for split, count in (("train", train), ("test", test)):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                (root / split / name / f"{i:03}.jpg").write_text(f"{split} {name} {i}")
    return load_dataset(root)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("course") / "photos"
    return write_files(root, 160, 60, ("apple", "pizza", "steak", "sushi"))


@pytest.mark.parametrize("name", CUTS)
def test_the_smallest_sha256_of_each_class_are_taken(dataset: Dataset, name: str) -> None:
    cut, own = course_cut(dataset, NAMED[name])
    train, test = (cut.splits[split] for split in ("train", "test"))
    assert (len(train), len(test)) == CUTS[name]
    assert not own
    assert cut.classes == ("pizza", "steak", "sushi")
    assert test.counts() == TEST[NAMED[name].test]
    assert test.names() == sorted(test.names())  # in the dataset's order, not the digests'
    every = [x for x in dataset.splits["test"] if "/steak/" in x.name]
    every.sort(key=lambda x: hashlib.sha256(x.read()).hexdigest())
    taken = {name for name in test.names() if "/steak/" in name}
    assert taken == {example.name for example in every[: len(taken)]}


def test_ten_percent_is_a_part_of_twenty(dataset: Dataset) -> None:
    ten, twenty = (course_cut(dataset, NAMED[name])[0] for name in ("frozen_10", "vit_20"))
    for split in ("train", "test"):
        assert set(ten.splits[split].names()) < set(twenty.splits[split].names())


def test_the_courses_own_images_are_taken_whole(dataset: Dataset) -> None:
    mini, _ = course_cut(dataset, NAMED["frozen_10"])
    train = dataset.restricted(mini.classes).splits["train"]
    rows = [*range(78), *range(160, 235), *range(320, 392)]  # the course's 78, 75 and 72
    mini = replace(mini, splits=mini.splits | {"train": train.subset(rows)})
    cut, own = course_cut(mini, NAMED["frozen_10"])
    assert own
    assert cut.splits["train"].counts() == {"pizza": 78, "steak": 75, "sushi": 72}
    with pytest.raises(DataError, match="has 78 train images of pizza, not 154"):
        course_cut(mini, NAMED["vit_20"])


def test_what_is_missing_is_said(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 4 classes, not Food-101's 101"):
        course_cut(dataset, NAMED["big_vit"])
    with pytest.raises(DataError, match="has no class sushi"):
        course_cut(dataset.restricted(["pizza", "steak"]), NAMED["scratch"])
    train = replace(dataset, splits={"train": dataset.splits["train"]})
    with pytest.raises(DataError, match=r"has no test split, only train; .*data split"):
        course_cut(train, NAMED["scratch"])


def test_big_is_150_and_50_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foodvision.paper.course_data.BIG_CLASSES", 2)
    dataset = write_files(tmp_path / "big", 151, 51, ("apple", "pizza"))
    cut, _ = course_cut(dataset, NAMED["big_vit"])
    assert cut.splits["train"].counts() == {"apple": 150, "pizza": 150}
    assert cut.splits["test"].counts() == {"apple": 50, "pizza": 50}
