from __future__ import annotations

import io
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from foodvision.data import load_dataset, take_inventory
from foodvision.data.splits import training_splits
from foodvision.errors import DataError, ImageError
from foodvision.images import open_image
from tests.data.folders import counts, warnings

SMALL = Image.new("RGB", (4, 4), "red")


def rows(labels: list[int | None], names: tuple[str, ...] = ("steak", "pizza")) -> datasets.Dataset:
    """The schema of ethz/food101."""
    buffer = io.BytesIO()
    SMALL.save(buffer, "PNG")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
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


def test_splits_agree_on_classes_by_name(tmp_path: Path) -> None:
    """`datasets` would give all files the classes of the first."""
    rows([0, 1, 1]).to_parquet(tmp_path / "train.parquet")
    rows([0, 0, 1], ("pizza", "steak")).to_parquet(tmp_path / "test.parquet")
    dataset = load_dataset(tmp_path)
    assert dataset.classes == dataset.splits["test"].classes == ("steak", "pizza")
    assert counts(dataset)["test"] == {"steak": 1, "pizza": 2}
    rows([0, 1], ("pizza", "tea")).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match="class tea is in test but not in train"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("name", ["train_0.parquet", "train.0.parquet", "train/0.parquet"])
def test_names_of_files_and_folders_are_splits(name: str, tmp_path: Path) -> None:
    """Otherwise the test images would be trained on."""
    folder = tmp_path / "[1]*"  # no pattern
    for split in ("train", "test"):
        file = folder / name.replace("train", split)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows([0, 1]).to_parquet(file)
    assert set(load_dataset(f"{tmp_path}/**/*.parquet").splits) == {"train", "test"}
    if "/" not in name:
        assert set(load_dataset(folder).splits) == {"train", "test"}


def test_minus_one_is_no_label(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    buffer = io.BytesIO()
    SMALL.save(buffer, "PNG")
    for split, labels in (("train", [0, 1]), ("validation", [1, -1]), ("test", [-1, -1])):
        table = pa.table({"image": [buffer.getvalue()] * 2, "label": labels})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("0", "1")
    assert {name: len(images) for name, images in dataset.splits.items()} == {
        "train": 2,
        "validation": 1,
    }
    assert "test has no labelled images and is left out" in caplog.text


def test_two_names_of_one_split(tmp_path: Path) -> None:
    for name in ("train-0", "val-0", "valid-0"):
        rows([0, 1]).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match="both val and valid are validation"):
        load_dataset(tmp_path)


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
        ({"x": [{"bytes": b"1", "path": ""}], "label": [0.5]}, "needs one column"),
        ({"x": [{"bytes": "text", "path": ""}], "label": ["a"]}, "needs one column"),
        ({"x": [{"bytes": b"1", "path": ""}], "label": [3]}, "found one class, 3;"),
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
    """The Hub's answer, whichever dataset is requested."""
    splits: dict[str, datasets.Dataset] = {}
    monkeypatch.setattr(datasets, "load_dataset", lambda **_: datasets.DatasetDict(splits))
    return splits


@pytest.mark.parametrize("name", ["../../etc", "/etc", "one", "x/y/z", "./y", "here/data"])
def test_hub_names_are_no_paths(
    name: str, hub: dict[str, datasets.Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"hub:{name}: is not OWNER/NAME on the Hub"):
        load_dataset(f"hub:{name}")


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
    assert warnings(caplog) == ["hub:x/y: not train, validation or test, used by name only: extra"]


def test_dev_beside_validation_is_another_split(hub: dict[str, datasets.Dataset]) -> None:
    hub |= {name: rows([0, 1]) for name in ("training", "dev", "test")}
    assert set(load_dataset("hub:x/y").splits) == {"train", "validation", "test"}
    hub["validation"] = rows([0, 1, 1])
    splits = load_dataset("hub:x/y").splits
    assert {name: len(images) for name, images in splits.items()} == {
        "train": 2,
        "validation": 3,
        "test": 2,
        "dev": 2,
    }


def test_another_split_adds_no_class(
    hub: dict[str, datasets.Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    names = ("pizza", "steak", "tea")
    hub |= {"train": rows([0, 1, 0, 1]), "test": rows([0, 1], names)}
    hub |= {"extra": rows([0, 0, 1], names), "more": rows([0, 2], names)}
    dataset = load_dataset("hub:x/y")
    assert dataset.classes == ("steak", "pizza")
    assert counts(dataset)["extra"] == {"steak": 1, "pizza": 2}
    assert "more" not in dataset.splits
    assert warnings(caplog)[1:] == ["hub:x/y: more has classes of its own and is left out: tea"]


def test_a_split_that_is_named_all_is_not_a_flat_dataset(
    hub: dict[str, datasets.Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    hub |= {"test": rows([0, 1]), "all": rows([0, 1, 1])}
    assert list(load_dataset("hub:x/y").splits) == ["test", "all-images"]
    assert warnings(caplog) == [
        "hub:x/y: not train, validation or test, used by name only: all-images (its all)"
    ]


def test_rows_without_a_label_are_left_out_except_of_train(
    hub: dict[str, datasets.Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    hub |= {"train": rows([0, 1, 0, 1]), "test": rows([None, 0, -1, 1, 1])}
    test = load_dataset("hub:x/y").splits["test"]
    assert [(example.label, example.name) for example in test] == [
        (0, "test[1]"),
        (1, "test[3]"),
        (1, "test[4]"),
    ]
    assert warnings(caplog) == ["hub:x/y: images of test that have no label and are left out: 2"]
    hub["train"] = rows([0, 1, None])
    with pytest.raises(DataError, match="train has images without a label"):
        load_dataset("hub:x/y")


def test_a_split_without_labels_is_left_out(
    hub: dict[str, datasets.Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    hub |= {"train": rows([0, 1, 0, 1]), "validation": rows([0, 1]), "test": rows([-1, -1, -1])}
    assert counts(load_dataset("hub:x/y")) == {
        "train": {"steak": 2, "pizza": 2},
        "validation": {"steak": 1, "pizza": 1},
    }
    assert warnings(caplog) == ["hub:x/y: test has no labelled images and is left out"]
    hub["test"] = rows([None, None])
    assert set(load_dataset("hub:x/y").splits) == {"train", "validation"}
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


@pytest.mark.parametrize("binary", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("column", ["label", "Class", "category"])
def test_plain_binary_and_integer_labels(binary: pa.DataType, column: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    SMALL.save(buffer, "PNG")
    images = pa.array([buffer.getvalue(), buffer.getvalue(), buffer.getvalue(), None], binary)
    table = pa.table({"content": images, column: pa.array([10, 2, 0, 2], pa.uint8())})
    pq.write_table(table, tmp_path / "rows.parquet")
    dataset = load_dataset(tmp_path)
    images = dataset.splits["all"]
    assert dataset.classes == ("0", "2", "10")
    assert images.labels.tolist() == [2, 1, 0, 1]
    assert open_image(images[0].source).size == (4, 4)
    (error,) = take_inventory(images).unreadable
    assert str(error) == "all[3]: its row is empty"


def test_a_path_in_a_row_is_not_opened(tmp_path: Path) -> None:
    SMALL.save(tmp_path / "private.png")
    paths = [str(tmp_path / "private.png"), "private.png"]
    table = {"image": [{"bytes": None, "path": path} for path in paths], "label": ["a", "b"]}
    datasets.Dataset.from_dict(table).to_parquet(tmp_path / "rows.parquet")
    images = load_dataset(tmp_path).splits["all"]
    reason = "its row has no bytes, only a path, which is not opened: "
    assert [str(error) for error in take_inventory(images).unreadable] == [
        f"all[{i}]: {reason}{path}" for i, path in enumerate(paths)
    ]
    with pytest.raises(ImageError, match="its row has no bytes, only a path"):
        open_image(images[0].source)
    with pytest.raises(
        DataError, match=r"too few images .*; 2 cannot be opened, such as all\[0\]: its"
    ):
        training_splits(load_dataset(tmp_path), 0, 0.5)


def test_a_path_that_datasets_has_downloaded_is_opened(
    hub: dict[str, datasets.Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a dataset on the Hub that consists of image files."""
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    (tmp_path / "downloads").mkdir()
    for name in ("downloads/1.png", "private.png"):
        SMALL.save(tmp_path / name)
    paths = [tmp_path / "downloads" / "1.png", tmp_path / "downloads" / ".." / "private.png"]
    hub["train"] = datasets.Dataset.from_dict(
        {"image": list(map(str, paths)), "label": ["a", "b"]}
    ).cast_column("image", datasets.Image())
    inventory = take_inventory(load_dataset("hub:x/y").splits["train"])
    assert inventory.images.names() == ["train[0]"]
    assert "private.png" in inventory.unreadable[0].reason


def test_rows_are_the_same_one_by_one_and_in_order(tmp_path: Path) -> None:
    rows([i % 2 for i in range(40)]).to_parquet(tmp_path / "rows.parquet")
    images = load_dataset(tmp_path).splits["all"].subset(range(37, 0, -2))
    assert list(images) == [images[i] for i in range(len(images))]
    assert images[3].source == (images[2].source[:-1] + bytes([31]))


def test_hub_that_cannot_be_reached_is_one_line() -> None:
    with pytest.raises(DataError, match=r"hub:nobody/nothing: cannot be read \(.+\)") as caught:
        load_dataset("hub:nobody/nothing")
    assert "\n" not in str(caught.value)
