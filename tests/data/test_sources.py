from __future__ import annotations

import io
import logging
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from foodvision.data import Dataset, load_dataset
from foodvision.errors import DataError
from foodvision.images import open_image

SMALL = Image.new("RGB", (4, 4), "red")


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        SMALL.save(path)
    return root


def counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    return {split: images.counts() for split, images in dataset.splits.items()}


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


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_train_and_validation_only_holds_validation_out(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png")
    make(tmp_path, f"{name}/a/3.png", f"{name}/b/3.png")
    assert set(load_dataset(tmp_path).splits) == {"train", "test"}
    assert "validation is held out as the test" in caplog.text


def test_flat_folder_with_what_lies_around(tmp_path: Path) -> None:
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
        f"{tmp_path}: 3 files left out that are not images: 2 .mp4, 1 without a suffix"
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
def test_layouts_that_make_no_sense(names: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    make(tmp_path, *names)
    with pytest.raises(DataError, match=reason):
        load_dataset(tmp_path)


def test_empty_class_folder_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="c: no images"):
        load_dataset(tmp_path)


def test_missing_class_and_single_image_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png")
    load_dataset(tmp_path)
    assert "class b has no image in test" in caplog.text
    assert "class b has only one image" in caplog.text


def test_other_folders_beside_the_splits_are_said_to_be_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png", "old/a/1.png")
    load_dataset(tmp_path)
    assert "ignored: old" in caplog.text


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(tmp_path / "no")


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


def rows(labels: list[int | None]) -> datasets.Dataset:
    """The schema of ethz/food101."""
    buffer = io.BytesIO()
    SMALL.save(buffer, "PNG")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["steak", "pizza"])}
    )
    images = [{"bytes": buffer.getvalue() + bytes([i]), "path": None} for i in range(len(labels))]
    return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)


@pytest.mark.parametrize("below", ["", "data"])
def test_parquet_folder_and_glob(below: str, tmp_path: Path) -> None:
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    rows([0, 1, 1]).to_parquet(folder / "train-00000-of-00002.parquet")
    rows([0, 0]).to_parquet(folder / "train-00001-of-00002.parquet")
    rows([1, 0]).to_parquet(folder / "test-00000-of-00001.parquet")
    for data in (str(tmp_path), str(folder / "*.parquet")):
        dataset = load_dataset(data)
        assert dataset.classes == ("steak", "pizza")
        assert counts(dataset) == {
            "train": {"steak": 3, "pizza": 2},
            "test": {"steak": 1, "pizza": 1},
        }
        example = dataset.splits["test"][0]
        assert isinstance(example.source, bytes)
        assert (example.label, example.name) == (1, "test[0]")
        assert dataset.splits["train"].subset([4, 0])[0].name == "train[4]"


def test_parquet_with_text_labels_and_a_plain_struct(tmp_path: Path) -> None:
    plain = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": b"x", "path": None}] * 3,
            "label": ["tea", "milk", "tea"],
        }
    )
    plain.to_parquet(tmp_path / "rows.parquet")
    dataset = load_dataset(tmp_path)
    assert counts(dataset) == {"all": {"milk": 1, "tea": 2}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"image": [b"x"], "n": [1]}, "needs one column of images and one of labels"),
        ({"x": [{"bytes": b"1", "path": ""}], "label": [3]}, "needs one column"),
    ],
)
def test_parquet_of_another_schema(
    content: dict[str, list[object]], reason: str, tmp_path: Path
) -> None:
    datasets.Dataset.from_dict(content).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match=reason):
        load_dataset(tmp_path)


def test_parquet_rows_without_a_label_and_damaged_files(tmp_path: Path) -> None:
    rows([0, 1, -1]).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match="without a label"):
        load_dataset(tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(tmp_path)
    with pytest.raises(DataError, match="no such Parquet file"):
        load_dataset(str(tmp_path / "x-*.parquet"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, datasets.Dataset]:
    """What the Hub sends, whichever data set is asked for."""
    splits: dict[str, datasets.Dataset] = {}
    monkeypatch.setattr(datasets, "load_dataset", lambda **_: datasets.DatasetDict(splits))
    return splits


def test_splits_of_unknown_names_are_read_as_one(
    hub: dict[str, datasets.Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    hub |= {"fold1": rows([0, 1] * 4), "fold2": rows([1, 1, 0, 0])}
    dataset = load_dataset("hub:x/y")
    assert counts(dataset) == {"all": {"steak": 6, "pizza": 6}}
    assert dataset.splits["all"].labels.tolist() == [0, 1] * 4 + [1, 1, 0, 0]
    assert "hub:x/y: fold1, fold2 are not train, validation or test: read as one" in caplog.text
    hub["fold2"] = rows([0]).cast_column("label", datasets.ClassLabel(names=["pizza", "steak"]))
    with pytest.raises(DataError, match="fold1, fold2 differ in columns or classes"):
        load_dataset("hub:x/y")


def test_splits_of_unknown_names_beside_known_ones_keep_them(
    hub: dict[str, datasets.Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    hub |= {"train": rows([0, 1, 0, 1]), "test": rows([0, 1]), "extra": rows([1, 1, 1])}
    dataset = load_dataset("hub:x/y")
    assert {name: len(images) for name, images in dataset.splits.items()} == {
        "train": 4,
        "test": 2,
        "extra": 3,
    }
    assert caplog.messages == ["hub:x/y: not train, validation or test, used by name only: extra"]


def test_a_split_without_labels_is_left_out(
    hub: dict[str, datasets.Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    hub |= {"train": rows([0, 1, 0, 1]), "validation": rows([0, 1]), "test": rows([-1, -1, -1])}
    assert counts(load_dataset("hub:x/y")) == {
        "train": {"steak": 2, "pizza": 2},
        "test": {"steak": 1, "pizza": 1},
    }
    assert caplog.messages == [
        "hub:x/y: test has no labelled images and is left out",
        "hub:x/y: train and validation only: validation is held out as the test",
    ]
    hub["test"] = rows([None, None])
    assert len(load_dataset("hub:x/y").splits["test"]) == 2
    hub["train"] = rows([-1, -1])
    hub.pop("validation")
    with pytest.raises(DataError, match="hub:x/y: no split has labels"):
        load_dataset("hub:x/y")


def test_large_arrow_types(tmp_path: Path) -> None:
    """As Polars writes them."""
    image = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
    buffer = io.BytesIO()
    SMALL.save(buffer, "PNG")
    table = pa.table(
        {
            "image": pa.array([{"bytes": buffer.getvalue(), "path": "a"}] * 3, image),
            "label": pa.array(["tea", "milk", "tea"], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    dataset = load_dataset(tmp_path)
    assert counts(dataset) == {"all": {"milk": 1, "tea": 2}}
    assert open_image(dataset.splits["all"][2].source).size == (4, 4)


def test_hub_that_cannot_be_reached_is_one_line() -> None:
    with pytest.raises(DataError, match=r"hub:nobody/nothing: cannot be read \(.+\)") as caught:
        load_dataset("hub:nobody/nothing")
    assert "\n" not in str(caught.value)


def test_listing_reads_no_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.jpg").write_text("I am a text.")
    with caplog.at_level(logging.ERROR):
        assert len(load_dataset(tmp_path).splits["all"]) == 2


def test_drawn_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from foodvision.data import sources

    made = []

    def write(out: Path, on_progress: object) -> None:
        made.append(out)
        make(out, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "write_drawn", write)
    assert load_dataset("drawn").classes == load_dataset("drawn").classes == ("a", "b")
    assert made == [tmp_path / "foodvision" / "drawn"]
    assert isinstance(load_dataset("drawn").splits["train"].labels, np.ndarray)


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
