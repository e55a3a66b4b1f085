from __future__ import annotations

import csv
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from foodvision.data import load_dataset, split_folder, take_inventory
from foodvision.errors import DataError
from tests.conftest import CLASSES, write_images
from tests.data.folders import make, warnings

FRACTIONS = {"test": 0.2, "validation": 0.2}


@pytest.fixture
def flat(tmp_path: Path, patterns: Path) -> Path:
    return shutil.copytree(patterns / "train", tmp_path / "d")


def split(root: Path, seed: int = 0, force: bool = False, near: bool = True) -> dict[str, str]:
    """Split a folder, and read the split of each name from split.csv."""
    split_folder(load_dataset(root, follow_split_csv=False), seed, FRACTIONS, force, near)
    return table(root)


def table(root: Path) -> dict[str, str]:
    with (root / "split.csv").open() as file:
        return {row["name"]: row["split"] for row in csv.DictReader(file)}


def loaded(root: Path) -> dict[str, str]:
    return {
        name: split
        for split, images in load_dataset(root).splits.items()
        for name in images.names()
    }


def test_split_csv_is_followed_and_repeats(flat: Path) -> None:
    (flat / "dots" / "bad.jpg").write_text("I am a text.")
    dataset = split_folder(load_dataset(flat), 0, FRACTIONS)
    written = table(flat)
    assert len(written) == 91
    assert set(dataset.splits) == {"train", "validation", "test"}
    assert {n: s for s, images in dataset.splits.items() for n in images.names()} == written
    assert loaded(flat) == written
    assert split(flat, force=True) == written


def test_folder_with_splits_is_not_split_again(patterns: Path) -> None:
    with pytest.raises(DataError, match="has splits already"):
        split_folder(load_dataset(patterns), 0, {"test": 0.2})


def test_rows_have_no_split_csv(flat: Path) -> None:
    rows = replace(load_dataset(flat), root=None)
    with pytest.raises(DataError, match=r"split\.csv is for image files, not for rows of Parquet"):
        split_folder(rows, 0, {"test": 0.2})


def test_an_existing_split_csv_is_kept(flat: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = split(flat)
    with pytest.raises(DataError, match=r"split\.csv: exists already; --force replaces it"):
        split(flat, seed=1)
    assert table(flat) == first
    content = (flat / "split.csv").read_bytes()
    with caplog.at_level("INFO"):
        assert split(flat, seed=1, force=True) != first
    assert (flat / "split.csv.bak").read_bytes() == content
    assert f"the old split.csv is now {flat / 'split.csv.bak'}" in caplog.messages
    split(flat, seed=2, force=True)
    assert (flat / "split.csv.bak").read_bytes() == content
    assert (flat / "split.csv.bak2").is_file()


def test_a_new_image_goes_where_its_bytes_put_it(
    flat: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for label in CLASSES:
        write_images(tmp_path / "more", label, range(100, 120))
    before = split(flat)
    content = (flat / "split.csv").read_bytes()
    shutil.copytree(tmp_path / "more", flat, dirs_exist_ok=True)
    caplog.clear()
    after = loaded(flat)
    assert after.items() >= before.items()
    counts = [
        sum(split == own for name, own in after.items() if name not in before)
        for split in ("train", "validation", "test")
    ]
    assert all(counts)
    assert warnings(caplog) == [
        f"{flat / 'split.csv'}: new images, placed by seed and content: "
        "{} in train, {} in validation, {} in test; 'foodvision data split' records them, beside "
        "their near-duplicates".format(*counts)
    ]
    assert (flat / "split.csv").read_bytes() == content
    assert split(flat, force=True, near=False) == after  # some of the stripes look alike


def test_a_moved_image_stays_in_its_split_and_one_that_is_gone_is_no_error(
    flat: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = split(flat)
    moved = next(name for name, split in before.items() if split == "test")
    (flat / moved).rename(flat / "dots" / "renamed.png")
    (flat / "waves" / "003.png").unlink()
    caplog.clear()
    after = loaded(flat)
    assert after["dots/renamed.png"] == "test"
    assert len(after) == 89
    gone = f"{flat / 'split.csv'}: images that no longer exist: 2, such as {moved}"
    assert gone in warnings(caplog)


def test_a_split_csv_without_a_seed_needs_a_row_for_each_image(flat: Path) -> None:
    rows = "".join(f"{name},{split}\n" for name, split in split(flat).items())
    (flat / "split.csv").write_text("name,split\n" + rows)
    assert len(load_dataset(flat).splits) == 3
    shutil.copy(flat / "dots" / "000.png", flat / "waves" / "new.png")
    with pytest.raises(DataError, match=r"has no row for waves/new\.png, and no seed"):
        load_dataset(flat)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name,split\n" + b"x" * 200_000 + b",train\n", "field larger than field limit"),
        (b"name,split\nb/1.png,tr\0ain\n", "not a text file"),
        (b"x" * 200_000, "its first line is longer than 10,000 characters"),
        (bytes(range(1, 256)) * 9, "no split is not train, validation, test"),
        (b"name,split\na/1.png,exam\n", "a/1.png: exam is not train, validation, test"),
    ],
)
def test_a_hostile_split_csv_is_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "split.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"split\.csv: cannot be read \(.*\)") as caught:
        load_dataset(tmp_path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_as_split_csv_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(make(tmp_path, "a/1.png", "b/1.png") / "split.csv")
    with pytest.raises(DataError, match=r"split\.csv: cannot be read \(not a regular file\)"):
        load_dataset(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="its file names are any bytes")
def test_names_that_are_formulas_or_not_utf8(tmp_path: Path) -> None:
    write_images(tmp_path / "d", "dots", range(6))
    (tmp_path / "d" / "dots").rename(tmp_path / "d" / "=HYPERLINK(1)")
    write_images(tmp_path / "d", "dots", range(10, 16))
    (tmp_path / "d" / "dots").rename(tmp_path / "d" / "-b")
    (tmp_path / "d" / "-b" / "010.png").rename(tmp_path / "d" / "-b" / "\udcff\udce9.png")
    dataset = split_folder(load_dataset(tmp_path / "d"), 0, {"test": 0.3})
    content = (tmp_path / "d" / "split.csv").read_bytes()
    assert b"\n'=HYPERLINK(1)/001.png,'=HYPERLINK(1)," in content
    assert b"\n'-b/\xff\xe9.png,'-b," in content
    again = load_dataset(tmp_path / "d")
    for split, images in dataset.splits.items():
        assert images.names() == again.splits[split].names()


def test_identical_images_under_two_class_names_are_counted(
    flat: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(flat / "dots" / "000.png", flat / "waves" / "x.png")
    split(flat)
    assert "identical images under two class names: 1 (in 2 files)" in caplog.text


def test_an_image_that_cannot_be_opened_trains_and_is_reported(flat: Path) -> None:
    split(flat)
    (flat / "dots" / "link.png").symlink_to("nowhere")
    splits = load_dataset(flat).splits
    assert "dots/link.png" in splits["train"].names()
    (error,) = take_inventory(splits["train"]).unreadable
    assert "dots/link.png: cannot be read (No such file" in str(error)
