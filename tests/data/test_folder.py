from __future__ import annotations

from pathlib import Path

import pytest

from foodvision.data import load_dataset
from foodvision.errors import DataError
from foodvision.images import open_image
from tests.data.folders import counts, make


def test_split_folders(tmp_path: Path) -> None:
    make(tmp_path, "train/b/1.png", "train/b/2.png", "train/a/1.png", "train/a/2.JPG")
    make(tmp_path, "valid/a/1.png", "valid/b/1.png", "test/b/1.png", "test/a/1.png")
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("a", "b")
    assert counts(dataset) == {
        "train": {"a": 2, "b": 2},
        "validation": {"a": 1, "b": 1},
        "test": {"a": 1, "b": 1},
    }
    example = dataset.splits["test"][1]
    assert (example.source, example.label, example.name) == (
        tmp_path / "test/b/1.png",
        1,
        "test/b/1.png",
    )


def test_flat_folder_with_other_files_in_it(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/deep/2.png", "b/1.webp", "b/2.png")
    make(tmp_path, ".ipynb_checkpoints/1.png", "__MACOSX/1.png", "a/.hidden.png", "a/.t/1.png")
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.md").write_text("nor this")
    assert counts(load_dataset(tmp_path)) == {"all": {"a": 2, "b": 2}}


def test_files_that_are_left_out_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a/1.png", "train/a/2.jfif", "train/b/1.tif", "train/b/2.apng")
    make(tmp_path, "test/a/3.jpe", "test/b/3.png")
    for name in ("train/a/x.mp4", "train/b/y.mp4", "test/b/notes", "readme.md", "train/list.txt"):
        (tmp_path / name).touch()
    dataset = load_dataset(tmp_path)
    assert [len(images) for images in dataset.splits.values()] == [2, 4]
    assert all(open_image(example.source) for example in dataset.splits["train"])
    assert caplog.messages == [
        f"{tmp_path}: 3 files left out, whose suffix is not that of an image: "
        "2 .mp4, 1 without a suffix"
    ]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), "no class folders with images"),
        (("1.png", "2.png"), "put each class in a folder of its own"),
        (("a/1.png", "a/2.png"), "one class"),
        (("train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"), "both val and valid"),
        (("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"), "class c is in test"),
    ],
)
def test_invalid_layouts(names: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    make(tmp_path, *names)
    with pytest.raises(DataError, match=reason):
        load_dataset(tmp_path)


def test_empty_class_folder_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="c: no images"):
        load_dataset(tmp_path)


def test_other_folders_beside_the_splits_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png", "old/a/1.png")
    load_dataset(tmp_path)
    assert "ignored: old" in caplog.text
