from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from foodvision.classifier.predict import Prediction
from foodvision.classifier.sorting import Sorter, folder_name
from foodvision.errors import FoodvisionError

CLASSES = ("cat", "dog")


def predicted(path: Path, label: str = "cat", classes: tuple[str, ...] = CLASSES) -> Prediction:
    rest = 0.4 / (len(classes) - 1)
    return Prediction(str(path), label, 0.6, dict.fromkeys(classes, rest) | {label: 0.6})


def sort(folder: Path, *rows: Prediction, copy: bool = False) -> list[str]:
    """The names that are below the folder afterwards."""
    assert list(Sorter(folder, copy).sort(rows)) == list(rows)
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three files of one name; the first two are equal."""
    paths = [tmp_path / folder / "1.jpg" for folder in "abc"]
    for path, content in zip(paths, ("one", "one", "two"), strict=True):
        path.parent.mkdir()
        path.write_text(content)
    return paths


@pytest.mark.parametrize("copy", [False, True], ids=["links", "copies"])
def test_images_of_one_name_are_all_kept_and_a_second_run_changes_nothing(
    copy: bool, photos: list[Path], tmp_path: Path
) -> None:
    rows = [*map(predicted, photos), predicted(photos[2], "dog")]
    expected = ["cat/1-2.jpg", "cat/1-3.jpg", "cat/1.jpg", "dog/1.jpg"]
    for _ in range(2):
        assert sort(tmp_path / "sorted", *rows, copy=copy) == expected
    first = tmp_path / "sorted" / "cat" / "1.jpg"
    assert first.is_symlink() is not copy
    assert first.read_text() == "one"
    assert (tmp_path / "sorted" / "cat" / "1-3.jpg").read_text() == "two"
    assert photos[0].read_text() == "one"
    # The folder may be inside that of the images.
    assert sort(tmp_path / "sorted", *rows, predicted(first), copy=copy) == expected


def test_nothing_is_overwritten(photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "sorted" / "cat").mkdir(parents=True)
    (tmp_path / "sorted" / "cat" / "1.jpg").write_text("mine")
    (tmp_path / "sorted" / "cat" / "1-2.jpg").symlink_to("nowhere")
    assert "cat/1-3.jpg" in sort(tmp_path / "sorted", predicted(photos[0]), copy=True)
    assert (tmp_path / "sorted" / "cat" / "1.jpg").read_text() == "mine"


def test_images_with_unsure_answers_are_apart(photos: list[Path], tmp_path: Path) -> None:
    unsure, bad = replace(predicted(photos[0]), sure=False), Prediction("bad.jpg", error="empty")
    assert sort(tmp_path / "sorted", unsure, bad) == ["unsure/1.jpg"]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("mac & cheese", "mac & cheese"),
        ("crème brûlée", "crème brûlée"),
        ("../../etc", "_.._etc"),
        ("..", "_"),
        ("", "_"),
        ("/", "_"),
        (".git", "git"),
        ("a\0b\x1b\udcff\n", "a_b___"),
        ("C:\\x", "C__x"),
        ("é" * 300, "é" * 100),
    ],
)
def test_a_class_is_one_folder_whatever_its_name(label: str, name: str) -> None:
    assert folder_name(label) == name


def test_different_classes_have_different_folders(photos: list[Path], tmp_path: Path) -> None:
    classes = ("a/b", "a_b", "A_B", "unsure")
    rows = [predicted(photos[0], label, classes) for label in classes]
    names = sort(tmp_path / "sorted", *rows, replace(rows[0], sure=False))
    assert len({name.partition("/")[0].casefold() for name in names}) == 5


def test_long_and_foreign_file_names(tmp_path: Path) -> None:
    paths = [tmp_path / ("x" * 251 + ".jpg"), tmp_path / "\udcff.jpg"]
    for path in paths:
        path.write_text(path.name[:1].encode("utf-8", "replace").decode())
    rows = [*map(predicted, paths)]
    assert len(sort(tmp_path / "sorted", *rows, copy=True)) == 2
    assert os.path.lexists(tmp_path / "sorted" / "cat" / "\udcff.jpg")


def test_where_links_are_impossible_images_are_copied(
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    sorter = Sorter(tmp_path / "sorted")
    list(sorter.sort([*map(predicted, photos), predicted(Path("https://example.org/1.jpg"))]))
    assert (tmp_path / "sorted" / "cat" / "1.jpg").read_text() == "one"
    assert len(caplog.messages) == 1
    assert sorter.summary().endswith("sorted: 3 cat; 1 not sorted (not local files)")


def test_a_folder_that_cannot_be_written(photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FoodvisionError, match="cannot be written"):
        Sorter(photos[0])
    (tmp_path / "sorted").mkdir()
    (tmp_path / "sorted" / "cat").touch()
    with pytest.raises(FoodvisionError, match="cannot be written"):
        sort(tmp_path / "sorted", predicted(photos[0]))
