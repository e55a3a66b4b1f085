"""Splits that keep the copies of a photograph together."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from foodvision.data import carve, load_dataset, split_folder, take_inventory
from foodvision.data.splits import choose_split
from tests.data.folders import warnings
from tests.data.photographs import cropped, jpeg, photograph, write_photographs

FRACTIONS = {"test": 0.25, "validation": 0.25}


def split(root: Path, near: bool = True, force: bool = False) -> dict[str, str]:
    split_folder(load_dataset(root, follow_split_csv=False), 0, FRACTIONS, force, near)
    return {name: row["split"] for name, row in table(root).items()}


def table(root: Path) -> dict[str, dict[str, str]]:
    with (root / "split.csv").open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def add_copy(root: Path, label: str, seed: int, name: str, number: int = 0) -> str:
    """A slightly cropped copy of a photograph that `write_photographs` wrote."""
    edge = 0.01 * (number + 1)
    image = cropped(photograph(seed), edge, 0.98, 0.0, 1 - edge)
    (root / label / name).write_bytes(jpeg(image, 80))
    return f"{label}/{name}"


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "d", "a", range(40))
    write_photographs(tmp_path / "d", "b", range(100, 140))
    return tmp_path / "d"


def test_no_pair_straddles(flat: Path, caplog: pytest.LogCaptureFixture) -> None:
    """40 copies: 20 identical, 20 near-duplicates, in the other class as well."""
    pairs = []
    for seed in range(20):
        pairs.append((f"a/{seed:05}.jpg", add_copy(flat, "ab"[seed % 2], seed, f"x{seed}.jpg")))
        shutil.copy(flat / "b" / f"{100 + seed:05}.jpg", flat / "b" / f"y{seed}.jpg")
        pairs.append((f"b/{100 + seed:05}.jpg", f"b/y{seed}.jpg"))
    by_bytes = split(flat, near=False)
    assert sum(by_bytes[first] != by_bytes[second] for first, second in pairs) > 5
    with caplog.at_level("INFO"):
        grouped = split(flat, force=True)
    assert all(grouped[first] == grouped[second] for first, second in pairs)
    assert set(grouped.values()) == {"train", "validation", "test"}
    expected = "near-duplicates, which get one split: 20 groups (40 images), such as a/00000.jpg"
    assert expected in caplog.text
    rules = {row["rule"] for row in table(flat).values()}
    assert rules == {"seed=0 test=0.25 validation=0.25 together=near-duplicates"}
    assert {n: s for s, i in load_dataset(flat).splits.items() for n in i.names()} == grouped


def test_a_memoriser_is_not_rewarded(tmp_path: Path) -> None:
    """The classes say nothing about the images: without copies, all can only guess."""
    for label, seeds in (("a", range(50)), ("b", range(100, 150))):
        write_photographs(tmp_path / "d", label, seeds)
        for seed in seeds:
            add_copy(tmp_path / "d", label, seed, f"x{seed}.jpg")

    def accuracy_of_nearest_neighbour(near: bool) -> float:
        split(tmp_path / "d", near, force=True)
        splits = load_dataset(tmp_path / "d").splits
        train, test = (take_inventory(splits[s], sketched=True) for s in ("train", "validation"))
        a, b = (inventory.sketches.astype(np.float32) for inventory in (train, test))
        nearest = np.square(b[:, None] - a[None]).sum(2).argmin(1)
        return (train.images.labels[nearest] == test.images.labels).mean()

    assert accuracy_of_nearest_neighbour(near=False) > 0.7
    assert accuracy_of_nearest_neighbour(near=True) < 0.62


def test_a_group_follows_its_smallest_hash(flat: Path) -> None:
    copies = [add_copy(flat, "a", 3, f"x{number}.jpg", number) for number in range(3)]
    placed = split(flat)
    digests = [table(flat)[name]["sha256"] for name in (*copies, "a/00003.jpg")]
    assert {placed[name] for name in copies} == {choose_split(0, min(digests), FRACTIONS)}


def test_new_images_follow_their_near_duplicates_and_no_other_moves(
    flat: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = split(flat)
    content = (flat / "split.csv").read_bytes()
    (flat / "a" / "00039.jpg").unlink()
    copies = {add_copy(flat, "b", i, f"x{i}.jpg"): before[f"a/{i:05}.jpg"] for i in range(15)}
    alone = [add_copy(flat, "a", 500, "new.jpg"), add_copy(flat, "a", 500, "new2.jpg", 2)]
    caplog.clear()
    after = split(flat)
    assert after == before | copies | dict.fromkeys(alone, after[alone[0]])
    smallest = min(table(flat)[name]["sha256"] for name in alone)
    assert after[alone[0]] == choose_split(0, smallest, FRACTIONS)
    assert (flat / "split.csv.bak").read_bytes() == content
    assert not warnings(caplog)


def test_a_file_that_joins_two_splits_is_left_out_and_named(
    flat: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_copy(flat, "a", 0, "x.jpg")
    split(flat)
    rows = (flat / "split.csv").read_text().splitlines(keepends=True)
    moved = [row for row in rows if row.startswith(("a/00000.jpg", "a/x.jpg"))]
    for row, name in zip(moved, ("train", "test"), strict=True):
        rows[rows.index(row)] = ",".join([*row.split(",")[:3], name, row.split(",")[4]])
    (flat / "split.csv").write_text("".join(rows))
    joining = add_copy(flat, "b", 0, "y.jpg", 3)
    caplog.clear()
    after = split(flat)
    assert (after["a/00000.jpg"], after["a/x.jpg"], after[joining]) == ("train", "test", "left out")
    path = flat / "split.csv"
    assert warnings(caplog) == [
        f"{path}: left out, for near-duplicates in several splits: {joining}",
        f"{path}: groups of near-duplicates in several splits: 1; --force splits them anew",
    ]
    caplog.clear()
    names = [name for images in load_dataset(flat).splits.values() for name in images.names()]
    assert sorted(names) == sorted(set(after) - {joining})
    assert warnings(caplog) == [f"{path}: images that are left out: 1, such as {joining}"]
    assert split(flat, force=True)[joining] != "left out"


def test_a_renamed_folder_keeps_its_splits(flat: Path) -> None:
    before = split(flat)
    (flat / "a").rename(flat / "c")
    after = split(flat)
    assert all(after[f"c/{i:05}.jpg"] == before[f"a/{i:05}.jpg"] for i in range(40))


def test_a_small_class_is_shared_out_by_groups() -> None:
    """Two photographs with three copies each: one is validated, whole."""
    for seed in range(20):
        keys = [f"{seed}-first"] * 3 + [f"{seed}-second"] * 3
        assigned = carve(keys, [0] * 6, seed, {"validation": 0.15})
        assert sorted(assigned) == ["train"] * 3 + ["validation"] * 3
        assert assigned[0] == assigned[1] == assigned[2]
