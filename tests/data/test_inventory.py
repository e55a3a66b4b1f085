from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from foodvision.data import inventory as module
from foodvision.data import load_dataset, take_inventory, training_splits
from tests.conftest import CLASSES, write_images
from tests.data.folders import make, warnings


def test_unreadable_images_are_listed_by_name(tmp_path: Path, patterns: Path) -> None:
    root = shutil.copytree(patterns / "train", tmp_path / "d")
    (root / "dots" / "bad.jpg").write_text("I am a text.")
    (root / "dots" / "empty.png").touch()
    inventory = take_inventory(load_dataset(root).splits["all"])
    assert len(inventory.images) == len(inventory.sha256) == 90
    assert [error.source for error in inventory.unreadable] == ["dots/bad.jpg", "dots/empty.png"]


def test_fingerprint_depends_on_contents_and_classes_not_on_names(
    tmp_path: Path, patterns: Path
) -> None:
    root = shutil.copytree(patterns / "train", tmp_path / "d")
    before = take_inventory(load_dataset(root).splits["all"]).fingerprint()
    (root / "dots" / "000.png").rename(root / "dots" / "zzz.png")
    assert take_inventory(load_dataset(root).splits["all"]).fingerprint() == before
    (root / "dots" / "zzz.png").rename(root / "waves" / "zzz.png")
    assert take_inventory(load_dataset(root).splits["all"]).fingerprint() != before


def test_identical_images_of_two_classes_or_in_train_and_validation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Copies within one class of one split are nobody's mistake."""
    for label in CLASSES:
        write_images(tmp_path / "d" / "train", label, range(4))
        write_images(tmp_path / "d" / "val", label, range(100, 102))
        write_images(tmp_path / "d" / "test", label, range(200, 201))
    root = tmp_path / "d"
    shutil.copy(root / "train/dots/000.png", root / "train/dots/copy.png")
    training_splits(load_dataset(root), 0, 0.2)
    assert not [text for text in warnings(caplog) if "identical" in text]
    shutil.copy(root / "train/dots/001.png", root / "train/waves/x.png")
    shutil.copy(root / "train/waves/000.png", root / "val/waves/y.png")
    shutil.copy(root / "train/waves/002.png", root / "val/waves/z.png")
    caplog.clear()
    training_splits(load_dataset(root), 0, 0.2)
    assert [text for text in warnings(caplog) if "identical" in text] == [
        "d: identical images under two class names: 1 (in 2 files), such as "
        "train/dots/001.png and train/waves/x.png",
        "d: identical images in train and in validation: 2 (in 4 files), such as "
        "train/waves/000.png and val/waves/y.png",
    ]


def test_a_share_opens_only_the_images_that_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def opens(content: bytes, min_side: int) -> None:
        opened.append(content)

    for label in CLASSES:
        write_images(tmp_path / "d", label, range(40))
    monkeypatch.setattr(module, "open_image", opens)
    splits = training_splits(load_dataset(tmp_path / "d"), 0, 0.2, share=0.1)
    used = len(splits.train.images) + len(splits.validation.images)
    assert len(opened) == used < 60


@pytest.mark.skipif(sys.platform != "linux", reason="its file names are any bytes")
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    for label in ("caf\udce9", "th\udce9"):
        write_images(tmp_path / "d", "dots", range(ord(label[0]), ord(label[0]) + 3))
        (tmp_path / "d" / "dots").rename(tmp_path / "d" / label)
        image = next((tmp_path / "d" / label).iterdir())
        image.rename(image.with_name("\udcff1.png"))
    splits = training_splits(load_dataset(tmp_path / "d"), 0, 0.2)
    assert splits.train.images.classes == ("caf\udce9", "th\udce9")
    assert not splits.unreadable
    assert len(splits.train.fingerprint()) == 64
    assert "caf\udce9/\udcff1.png,caf\udce9," in splits.to_csv()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_file_that_has_become_a_fifo_does_not_hang(tmp_path: Path) -> None:
    images = load_dataset(make(tmp_path / "d", "a/1.png", "b/1.png")).splits["all"]
    (tmp_path / "d" / "a" / "1.png").unlink()
    os.mkfifo(tmp_path / "d" / "a" / "1.png")
    (error,) = take_inventory(images).unreadable
    assert str(error) == "a/1.png: cannot be read (not a regular file)"


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    root = make(tmp_path / "d", "a/1.png", "b/1.png")
    with (root / "a" / "1.png").open("r+b") as file:
        file.truncate(20_000_000_000)  # takes no space
    (error,) = take_inventory(load_dataset(root).splits["all"]).unreadable
    assert str(error) == "a/1.png: the file is larger than 1,000 MB"
