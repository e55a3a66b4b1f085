from __future__ import annotations

import os
from pathlib import Path

import pytest

from foodvision.data import load_dataset
from foodvision.errors import DataError
from foodvision.images import open_image
from tests.data.folders import counts, make, warnings


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
    make(tmp_path, "@eaDir/1.png", "a/@eaDir/1.png", "b/__MACOSX/1.png")
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.md").write_text("nor this")
    assert counts(load_dataset(tmp_path)) == {"all": {"a": 2, "b": 2}}


def test_images_without_classes(tmp_path: Path) -> None:
    make(tmp_path / "flat", "1.png", "2.png")
    make(tmp_path / "split", "train/1.png", "train/a/2.png", "test/3.png")
    (tmp_path / "split/train/empty").mkdir()
    flat, split = (load_dataset(tmp_path / name, labelled=False) for name in ("flat", "split"))
    assert counts(flat) == {"all": {"unlabelled": 2}}
    assert flat.splits["all"].names() == ["1.png", "2.png"]
    assert counts(split) == {"train": {"a": 1, "unlabelled": 1}, "test": {"a": 0, "unlabelled": 1}}
    with pytest.raises(DataError, match="put each class in a folder of its own"):
        load_dataset(tmp_path / "flat")
    with pytest.raises(DataError, match="train/empty: no images"):
        load_dataset(tmp_path / "split")


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
    assert warnings(caplog) == [
        f"{tmp_path}: 3 files left out, whose suffix is not that of an image: "
        "2 .mp4, 1 without a suffix"
    ]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), "no class folders with images"),
        (("1.png", "2.png"), "put each class in a folder of its own"),
        (("a/1.png", "a/2.png"), "found one class, a; a classifier needs two or more"),
        (("train/1.png", "test/1.png"), "put each class in a folder of its own"),
        (("train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"), "both val and valid"),
        (("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"), "class c is in test"),
    ],
)
def test_invalid_layouts(names: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    make(tmp_path, *names)
    with pytest.raises(DataError, match=reason):
        load_dataset(tmp_path)


def test_test_images_without_labels_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png")
    make(tmp_path, "test/1.png", "test/2.png")
    assert counts(load_dataset(tmp_path)) == {"train": {"a": 2, "b": 2}}
    assert warnings(caplog) == [f"{tmp_path / 'test'}: no class folders, left out: 2 images"]


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


@pytest.mark.parametrize("names", ["Training Testing", "TRAIN Test eval", "train dev test"])
def test_names_of_splits(names: str, tmp_path: Path) -> None:
    usual = {"training": "train", "testing": "test", "eval": "validation", "dev": "validation"}
    for name in names.split():
        make(tmp_path, f"{name}/a/1.png", f"{name}/b/1.png")
    expected = [usual.get(name.lower(), name.lower()) for name in names.split()]
    assert set(load_dataset(tmp_path).splits) == set(expected)


@pytest.mark.parametrize("names", ["valid invalid", "test control", "train plane car", "Dev dev2"])
@pytest.mark.parametrize("deep", [False, True])
def test_classes_that_are_named_as_splits_are(names: str, deep: bool, tmp_path: Path) -> None:
    for name in names.split():
        make(tmp_path, f"{name}/1.png")
    if deep and "train" not in names:
        make(tmp_path, *(f"{name}/2025/2.png" for name in names.split()))
    for folder in (tmp_path, make(tmp_path / "x", "other/1.png").parent):
        dataset = load_dataset(folder)
        assert {*names.split()} <= {*dataset.classes}
        assert list(dataset.splits) == ["all"]


def test_two_meanings_of_a_folder_are_not_guessed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path / "t", "train/red/1.png", "train/blue/1.png", "plane/1.png", "car/1.png")
    with pytest.raises(DataError, match=r"train holds folders of images, .* car, plane hold"):
        load_dataset(tmp_path / "t")
    make(tmp_path / "i", *(f"{c}/{s}/1.png" for c in ("a", "b") for s in ("train", "test")))
    assert list(load_dataset(tmp_path / "i").splits) == ["all"]
    assert "splits inside the class folders are read as one" in caplog.text


def test_one_folder_too_deep(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, "one/two/train/a/1.png", "one/two/train/b/1.png", "one/__MACOSX/x.png")
    make(tmp_path, "one/two/test/a/1.png", "one/two/test/b/1.png", "@eaDir/x.png")
    with caplog.at_level("INFO"):
        dataset = load_dataset(tmp_path)
    assert (dataset.name, dataset.root) == (tmp_path.name, tmp_path / "one" / "two")
    assert dataset.splits["test"].names() == ["test/a/1.png", "test/b/1.png"]
    assert caplog.messages[-1].startswith(f"{tmp_path / 'one' / 'two'}: 2 classes × train/test")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    make(
        tmp_path, "d/a/1.png", "d/a/deep/2.png", "d/b/1.png", "elsewhere/3.png", "elsewhere/x/4.png"
    )
    for link, target in {
        "a/again": "deep",
        "a/loop": "../..",
        "a/self": ".",
        "all": ".",
        "above": "..",
        "a/one": "../../elsewhere",
        "a/two": "../../elsewhere",
        "elsewhere": "nowhere",
    }.items():
        (tmp_path / "d" / link).symlink_to(target)
    (tmp_path / "elsewhere" / "back").symlink_to("../d/a")
    (tmp_path / "d" / "c").symlink_to("../elsewhere")
    images = load_dataset(tmp_path / "d").splits["all"]
    assert images.classes == ("a", "b", "c")
    assert [name for name in images.names() if name.startswith("a/")] == [
        "a/1.png",
        "a/deep/2.png",
        "a/one/3.png",
        "a/one/x/4.png",
    ]
    assert images.counts()["c"] == 4  # with its link back to a


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert counts(load_dataset(tmp_path)) == {"all": {"a": 1, "b": 1}}
    message = f"{tmp_path / 'a'}: not regular files (FIFO, socket or device), left out: 1"
    assert message in warnings(caplog)


def test_images_outside_the_class_folders_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "1.png", "2.png", "a/1.png", "b/1.png", "b/2.png", "a/2.png")
    load_dataset(tmp_path)
    assert warnings(caplog) == [f"{tmp_path}: images outside the class folders, left out: 2"]
