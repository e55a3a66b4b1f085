"""Parquet files that are streamed: listed without their images, and read row group by row group."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import datasets
import fsspec
import numpy as np
import pytest
from fsspec.registry import _registry
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from foodvision.data import (
    Dataset,
    LabelledImages,
    load_dataset,
    take_inventory,
    training_splits,
)
from foodvision.data.listing import Listing
from foodvision.errors import DataError, ImageError
from foodvision.files import remote
from foodvision.files.parquet_images import read_row
from tests.data.folders import warnings
from tests.data.streams import count_held, count_reads, images, write, write_stream
from tests.data.test_parquet import rows


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_stream(tmp_path_factory.mktemp("stream"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    return count_reads(monkeypatch)


def train_of(address: str) -> LabelledImages:
    return load_dataset(address, test=False).splits["train"]


def test_listing_reads_labels_alone_and_no_test_file(
    address: str, reads: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        dataset = load_dataset(address, test=False)
    assert not reads
    assert "test split: files that training does not open: 1" in caplog.text
    assert dataset.classes == ("dots", "stripes", "waves")
    assert {split: len(part) for split, part in dataset.splits.items()} == {
        "train": 90,
        "validation": 12,
    }
    train = dataset.splits["train"]
    assert train[50].name == "train-00001-of-00002.parquet#6"
    assert train[50].source == images(50, 1)[0][0]
    assert reads == [("train-00001-of-00002.parquet", 0)]
    assert train.counts() == {"dots": 30, "stripes": 30, "waves": 30}
    assert read_row(f"{address}/{train[50].name}") == train[50].source
    with pytest.raises(DataError, match=r"test\.parquet: cannot be read \(.*[Pp]arquet"):
        load_dataset(address)


def test_images_in_their_order_read_each_row_group_once(
    address: str, reads: list[tuple[str, int]]
) -> None:
    train = train_of(address)
    expected = [content for content, _ in images(0, 90)]
    assert [example.source for example in train] == expected
    assert len(reads) == len({*reads}) == len(train.stream.rows_of) == 12  # type: ignore[union-attr]
    inventory = take_inventory(train.subset(range(20, 30)))
    assert len({*inventory.sha256}) == 10


def test_only_the_row_groups_of_a_batch_and_those_ahead_are_in_memory(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, held = train_of(address), count_held(monkeypatch)
    across = np.arange(80).reshape(2, 40).T  # from two row groups at a time
    sources = list(train.in_batches(list(across), ahead=1))
    assert sources[3] == [images(i, 1)[0][0] for i in (3, 43)]
    assert 2 <= held.peak <= 2 + 1
    assert held.now == 0


def test_rows_without_an_image_say_so(tmp_path: Path) -> None:
    good = [*images(0, 3)]
    write(tmp_path / "train.parquet", [good[0], (None, "dots"), (b"", "dots"), good[2]])
    train = train_of(f"file://{tmp_path}/train.parquet")
    for position, example in enumerate(train):
        if position == 1:
            with pytest.raises(ImageError, match=r"train\.parquet#1: its row is empty"):
                example.read()
    names = [error.source for error in take_inventory(train).unreadable]
    assert names == ["train.parquet#1", "train.parquet#2"]


def test_class_names_of_the_hub_and_a_held_out_validation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As ethz/food101: a folder for each split, and validation is the test."""
    for folder, labels in (("train", [0, 1, 1]), ("validation", [1, 0])):
        (tmp_path / folder).mkdir()
        rows(labels).to_parquet(tmp_path / folder / "0000.parquet")
    dataset = load_dataset(f"file://{tmp_path}")
    assert dataset.classes == ("steak", "pizza")
    assert dataset.splits["test"].names() == [
        "validation/0000.parquet#0",
        "validation/0000.parquet#1",
    ]
    assert "validation is held out as the test" in caplog.text
    (tmp_path / "validation" / "0000.parquet").write_bytes(b"")
    assert load_dataset(f"file://{tmp_path}", test=False).splits.keys() == {"train"}


def test_a_bucket(address: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for file in Path(address.removeprefix("file://")).iterdir():
        memory.pipe(f"/bucket/food/{file.name}", file.read_bytes())
    memory.pipe("/bucket/food/README.md", b"")
    train = train_of("memory://bucket/food")
    assert train.names() == train_of(address).names()
    assert train[89].source == images(89, 1)[0][0]
    memory.store.clear()


class BucketFile(AbstractBufferedFile):  # type: ignore[misc]
    """As those of s3fs and gcsfs: ranges of bytes are fetched."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        content: bytes = self.fs.files[self.path][start:end]
        self.fs.fetched.append(len(content))
        return content


class Bucket(AbstractFileSystem):  # type: ignore[misc]
    """A store that counts the bytes it sends."""

    protocol = "gs"
    files: ClassVar[dict[str, bytes]] = {}
    fetched: ClassVar[list[int]] = []

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        found = [
            {"name": name, "size": len(content), "type": "file"}
            for name, content in self.files.items()
            if name == path or name.startswith(f"{path}/")
        ]
        return found if detail else [each["name"] for each in found]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> BucketFile:
        return BucketFile(self, path, mode, **options)


def test_nothing_is_fetched_but_footers_labels_and_the_row_groups_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = [(np.random.default_rng(i).bytes(250_000), "ab"[i % 2]) for i in range(16)]
    write(tmp_path / "train.parquet", content, group=4)
    monkeypatch.setitem(_registry, "gs", Bucket)
    Bucket.files["bucket/train.parquet"] = (tmp_path / "train.parquet").read_bytes()
    train = train_of("gs://bucket")
    assert len(train) == 16
    assert sum(Bucket.fetched) < 100_000  # of 4 MB
    Bucket.fetched.clear()
    rows = [np.array([5, 7]), np.array([6])]
    assert list(train.in_batches(rows)) == [[content[5][0], content[7][0]], [content[6][0]]]
    assert 1_000_000 < sum(Bucket.fetched) < 1_100_000


@pytest.mark.parametrize("received", [None, 0.5])
def test_a_row_group_that_breaks_off_is_read_again(
    received: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = [(np.random.default_rng(i).bytes(250_000), "ab"[i % 2]) for i in range(8)]
    write(tmp_path / "train.parquet", content, group=4)
    monkeypatch.setitem(_registry, "gs", Bucket)
    monkeypatch.setattr(remote, "PAUSES", (0.0,))
    Bucket.files["bucket/train.parquet"] = (tmp_path / "train.parquet").read_bytes()
    train, fetch, failures = train_of("gs://bucket"), BucketFile._fetch_range, [1]

    def breaks_off(self: BucketFile, start: int, end: int) -> bytes:
        part = fetch(self, start, end)
        if len(part) > 500_000 and failures and failures.pop():
            if received is None:
                raise ConnectionResetError("reset by peer")
            return part[: int(received * len(part))]
        return part

    monkeypatch.setattr(BucketFile, "_fetch_range", breaks_off)
    assert next(train.in_batches([np.array([5])])) == [content[5][0]]
    assert not failures


def test_an_interrupted_read_is_repeated(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    train, failures = train_of(address), [ConnectionError("reset"), TimeoutError("timed out")]

    def fails(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return open_parts(*arguments)

    from foodvision.files import row_groups

    open_parts = row_groups.open_parts
    monkeypatch.setattr(row_groups, "open_parts", fails)
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    with caplog.at_level("INFO"):
        assert next(train.in_batches([np.array([0])])) == [images(0, 1)[0][0]]
    assert not failures
    assert "cannot be read (reset); next try in 0 s" in caplog.text
    failures += [ConnectionError("reset")] * 3
    with pytest.raises(DataError, match=r"^file://.*train-00000.*: cannot be read \(reset\)$"):
        next(train.in_batches([np.array([0])]))


def test_a_file_that_changes_or_disappears_is_one_line(tmp_path: Path) -> None:
    address = write_stream(tmp_path)
    train = train_of(address)
    write(tmp_path / "train-00000-of-00002.parquet", [*images(0, 5)])
    with pytest.raises(DataError, match=r"train-00000.*: the file has changed since it was listed"):
        train[0]
    (tmp_path / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"train-00001.*: no such file or folder"):
        train[60]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photo.jpg", r"file://.*: no Parquet files \(\*\.parquet\); nothing else can be streamed"),
        ("labels.csv", "no Parquet files"),
        ("test.parquet", "has no training images, only test"),
        (None, "no such file or folder"),
    ],
)
def test_what_cannot_be_streamed_is_one_line(
    name: str | None, message: str, tmp_path: Path
) -> None:
    if name:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=message):
        load_dataset(f"file://{tmp_path}{'' if name else '/nosuch'}", test=False)


def test_files_of_a_split_must_agree(tmp_path: Path) -> None:
    rows([0, 1]).to_parquet(tmp_path / "train-0.parquet")
    rows([0, 1], ("pizza", "steak")).to_parquet(tmp_path / "train-1.parquet")
    with pytest.raises(DataError, match=r"train-1\.parquet: has other columns or classes than"):
        load_dataset(f"file://{tmp_path}")
    table = datasets.Dataset.from_dict({"label": ["a"]})
    table.to_parquet(tmp_path / "train-1.parquet")
    with pytest.raises(DataError, match=r"train-1\.parquet: needs one column of images"):
        load_dataset(f"file://{tmp_path}")


def test_training_images_are_not_read_for_the_splits(
    address: str, reads: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        splits = training_splits(load_dataset(address, test=False), seed=0, fraction=0.15)
    assert {file for file, _ in reads} == {"validation.parquet"}
    assert "training images are not read before training comes to them" in caplog.text
    assert len(splits.train.images) == 90
    assert isinstance(splits.train, Listing)
    lines = splits.to_csv().splitlines()
    assert lines[1].startswith("train-00000-of-00002.parquet#0-7,,")
    assert lines[12].startswith("train-00001-of-00002.parquet#40-45,,")
    assert lines[12].endswith(",train")
    assert lines[13].startswith("validation.parquet#0,stripes,")
    assert len(lines) == 1 + 12 + 12


def test_other_labels_are_another_split_csv_and_fingerprint(address: str, tmp_path: Path) -> None:
    def splits_of(dataset: Dataset) -> tuple[str, str]:
        splits = training_splits(dataset, 0, 0.15)
        return splits.to_csv(), splits.train.fingerprint()

    dataset = load_dataset(address, test=False)
    folder = Path(shutil.copytree(address.removeprefix("file://"), tmp_path / "d"))
    same = load_dataset(f"file://{folder}", test=False)
    assert splits_of(same) == splits_of(dataset)
    first = [*images(0, 44)]
    write(folder / "train-00000-of-00002.parquet", [(first[0][0], "waves"), *first[1:]])
    other = splits_of(load_dataset(f"file://{folder}", test=False))
    assert all(a != b for a, b in zip(other, splits_of(dataset), strict=True))
    fewer = dataset.restricted(["dots", "waves"])
    assert "#0-6," in splits_of(fewer)[0]  # row 7 is of another class


def test_a_validation_split_is_carved_by_whole_row_groups(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "train.parquet", [*images(0, 96)])
    dataset = load_dataset(f"file://{tmp_path}")
    with caplog.at_level("INFO"):
        splits = training_splits(dataset, seed=0, fraction=0.15)
    assert "2 of 12 row groups are held out, 16 images" in caplog.text
    train, validation = splits.train.images, splits.validation.images
    assert sorted([*train.indices, *validation.indices]) == list(range(96))
    assert train.stream
    assert not {*train.stream.groups_of(train.indices)} & {
        *train.stream.groups_of(validation.indices)
    }
    again = training_splits(dataset, 0, 0.15)
    assert again.to_csv() == splits.to_csv() != training_splits(dataset, 1, 0.15).to_csv()
    half = training_splits(dataset, 0, 0.15, share=0.5)
    assert half.validation.images.names() == validation.names()
    assert 20 < len(half.train.images) < 60


def test_row_groups_that_cannot_be_shared_are_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "train.parquet", [*images(0, 12)], group=12)
    with pytest.raises(DataError, match="has one row group, and a validation split is carved by"):
        training_splits(load_dataset(f"file://{tmp_path}"), 0, 0.15)
    by_class = sorted(images(0, 24), key=lambda row: row[1])
    write(tmp_path / "train.parquet", [*by_class])
    with pytest.raises(DataError, match=r"nothing is left to train on of .*; shuffle the rows"):
        training_splits(load_dataset(f"file://{tmp_path}"), 0, 0.15)
    write(tmp_path / "train.parquet", [*by_class], group=4)
    training_splits(load_dataset(f"file://{tmp_path}"), 0, 0.15)
    assert any("classes without a validation image" in line for line in warnings(caplog))
