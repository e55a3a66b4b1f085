from __future__ import annotations

from pathlib import Path

import pytest

from foodvision.data import load_dataset
from foodvision.errors import DataError
from tests.data.folders import make


def test_classes_travel_by_name(tmp_path: Path) -> None:
    make(tmp_path, "10/1.png", "10/2.png", "2/1.png", "2/2.png", "2/3.png")
    images = load_dataset(tmp_path).splits["all"]
    relabelled = images.relabelled(("2", "10", "x"))
    assert relabelled.counts() == {"2": 3, "10": 2, "x": 0}
    assert {example.source.parent.name: example.label for example in relabelled} == {
        "2": 0,
        "10": 1,
    }
    with pytest.raises(DataError, match="class 2 is not among the model's: 10"):
        images.relabelled(("10",))
    with pytest.raises(DataError, match=r"model's: 10, c0, .*, c8 and 90 more$"):
        images.relabelled(("10", *(f"c{i}" for i in range(99))))


def test_fewer_classes_by_name(patterns: Path) -> None:
    dataset = load_dataset(patterns)
    first, second, third = dataset.classes
    for restricted in (dataset.restricted([third, first]), dataset.restricted([], [second])):
        assert restricted.classes == (first, third)
        assert list(restricted.splits) == list(dataset.splits)
        train = restricted.splits["train"]
        assert train.counts() == {first: 30, third: 30}
        assert {(e.name.split("/")[1], train.classes[e.label]) for e in train} == {
            (first, first),
            (third, third),
        }
    with pytest.raises(DataError, match=f"no class '{first}x'; did you mean '{first}'"):
        dataset.restricted([], [first + "x"])


def test_all_images_of_all_splits(patterns: Path) -> None:
    dataset = load_dataset(patterns)
    images = dataset.all_images()
    parts = [*dataset.splits["train"], *dataset.splits["test"]]
    assert list(images) == parts
    assert [images[i] for i in (0, 89, 90, 119)] == [parts[i] for i in (0, 89, 90, 119)]
    assert images.names() == [example.name for example in parts]
    backwards = dataset.restricted(dataset.classes[1:]).all_images().subset(range(79, -1, -1))
    assert backwards.names() == [e.name for e in parts[::-1] if dataset.classes[0] not in e.name]
    assert [example.name for example in backwards] == backwards.names()
