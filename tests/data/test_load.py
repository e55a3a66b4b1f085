from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from foodvision.data import load_dataset
from foodvision.errors import DataError
from tests.data.folders import make, warnings


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_without_a_test_split_validation_is_held_out(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png")
    make(tmp_path, f"{name}/a/3.png", f"{name}/b/3.png")
    assert set(load_dataset(tmp_path).splits) == {"train", "test"}
    assert "validation is held out as the test" in caplog.text


def test_missing_class_and_single_image_give_warnings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png")
    load_dataset(tmp_path)
    assert "class b has no image in test" in caplog.text
    assert "class b has only one image" in caplog.text


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(tmp_path / "no")


def test_listing_reads_no_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.jpg").write_text("I am a text.")
    with caplog.at_level(logging.ERROR):
        assert len(load_dataset(tmp_path).splits["all"]) == 2


def test_drawn_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from foodvision.data import load

    made = []

    def write(out: Path, on_progress: object) -> None:
        made.append(out)
        make(out, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(load, "write_drawn", write)
    assert load_dataset("drawn").classes == load_dataset("drawn").classes == ("a", "b")
    assert made == [tmp_path / "foodvision" / "drawn"]
    assert isinstance(load_dataset("drawn").splits["train"].labels, np.ndarray)


def png(i: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (i, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def images(*folders: str) -> list[str]:
    """Three images of tea and two of milk in each folder."""
    names = ("tea/1.png", "tea/2.png", "tea/3.png", "milk/1.png", "milk/2.png")
    return [f"{folder}/{name}".removeprefix("/") for folder in folders for name in names]


def flat(root: Path) -> None:
    make(root, *images(""))


def train_test(root: Path) -> None:
    make(root, *images("train", "test"))


def training_testing(root: Path) -> None:
    make(root, *images("Training", "Testing"))


def train_valid_test(root: Path) -> None:
    make(root, *images("train", "valid", "test"))


def csv_of_labels(root: Path) -> None:
    names = [f"images/{i}.png" for i in range(6)]
    rows = [
        f"{name},{('tea', 'milk')[i % 2]},{('train', 'Test')[i > 3]}"
        for i, name in enumerate(names)
    ]
    make(root, *names)
    (root / "labels.csv").write_text("\n".join(["file_name,label,split", *rows]))


def parquet(root: Path) -> None:
    """The schema of ethz/food101."""
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["tea", "milk"])}
    for split in ("train", "test"):
        table = {"image": [{"bytes": png(i)} for i in range(4)], "label": [0, 1, 0, 1]}
        rows = datasets.Dataset.from_dict(table, datasets.Features(kinds))
        rows.to_parquet(root / f"{split}-00000-of-00001.parquet")


def parquet_with_integers(root: Path) -> None:
    table = {"image": [png(i) for i in range(4)], "label": [10, 2, 2, 1]}
    datasets.Dataset.from_dict(table).to_parquet(root / "train.parquet")


def too_deep(root: Path) -> None:
    make(root, *images("tea-and-milk/train", "tea-and-milk/test"))


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (flat, ": 2 classes, no splits, 5 images: milk, tea"),
        (train_test, ": 2 classes × train/test, 5/5 images: milk, tea"),
        (training_testing, ": 2 classes × train/test, 5/5 images: milk, tea"),
        (train_valid_test, ": 2 classes × train/validation/test, 5/5/5 images: milk, tea"),
        (csv_of_labels, "/labels.csv: 2 classes × train/test, 4/2 images: milk, tea"),
        (parquet, ": 2 classes × train/test, 4/4 images: tea, milk"),
        (parquet_with_integers, ": 3 classes × train, 4 images: 1, 2, 10"),
        (too_deep, "/tea-and-milk: 2 classes × train/test, 5/5 images: milk, tea"),
    ],
)
def test_what_is_understood_of_eight_layouts(
    write: Callable[[Path], None],
    line: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(tmp_path)
    with caplog.at_level(logging.INFO):
        load_dataset(tmp_path)
    assert [text for text in caplog.messages if "classes" in text] == [f"{tmp_path}{line}"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").touch()
    with pytest.raises(DataError, match=r"photos\.zip: is a file; DATA is a folder of class"):
        load_dataset(tmp_path / "photos.zip")


def test_class_folders_come_before_a_csv(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, *images(""))
    (tmp_path / "labels.csv").write_text("path,label\ntea/1.png,x\ntea/2.png,y\n")
    assert load_dataset(tmp_path).classes == ("milk", "tea")
    table = tmp_path / "labels.csv"
    assert warnings(caplog) == [f"{table}: not read, because {tmp_path} has class folders"]
    assert load_dataset(table).classes == ("x", "y")
