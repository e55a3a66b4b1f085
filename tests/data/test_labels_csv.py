from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from foodvision.data import load_dataset, split_folder
from foodvision.errors import DataError
from tests.data.folders import counts, make, warnings


def write(root: Path, text: str, *names: str) -> Path:
    make(root, *(names or ("1.png", "2.png", "in/3.png", "in/4.png")))
    (root / "photos.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    return root / "photos.csv"


@pytest.mark.parametrize(
    "text",
    [
        "path,label\n1.png,tea\n2.png,milk\n./in/3.png,tea\n",
        "Class;File Name\ntea;1.png\nmilk;2.png\ntea;in/3.png\n",
        "\ufeffid\timage_path\tcategory\r\n0\t1.png\ttea\r\n1\t2.png\tmilk\r\n2\tin/../in/3.png\ttea\r\n",
    ],
)
def test_columns_are_found_by_name(text: str, tmp_path: Path) -> None:
    table = write(tmp_path, text)
    for data in (table, tmp_path):
        dataset = load_dataset(data)
        assert counts(dataset) == {"all": {"milk": 1, "tea": 2}}
        assert dataset.name == tmp_path.name
        assert dataset.splits["all"].names() == ["1.png", "2.png", "in/3.png"]
        assert dataset.splits["all"][2].source == tmp_path / "in" / "3.png"


def test_splits_and_rows_without_a_label(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = write(
        tmp_path,
        "path,label,split\n1.png,tea,Train\n2.png,milk,training\nin/3.png,tea,TEST\nin/4.png,,test\n",
    )
    dataset = load_dataset(table)
    assert counts(dataset) == {"train": {"milk": 1, "tea": 1}, "test": {"milk": 0, "tea": 1}}
    assert f"{table}: images that have no label and are left out: 1" in warnings(caplog)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", "needs one column named path, one named label, .*; it has a, b"),
        ("path,file,label\n", "needs one column named path"),
        ("path,label\n", "lists no images"),
        ("path,label\n1.png,tea\nno.png,milk\n", "line 3: no.png: No such file or directory"),
        ("path,label\n/etc/passwd,tea\n", "line 2: /etc/passwd is not below the folder"),
        ("path,label\nin/../../x.png,tea\n", "line 2: in/../../x.png is not below the folder"),
        ("path,label\n./,tea\n", "line 2: ./: not a regular file"),
        ("path,label\nin,tea\n", "line 2: in: not a regular file"),
        ("path,label\n,tea\n", "line 2: has no path"),
        ("path,label\n1.png\n", "line 2: 1.png has no label"),
        ("path,label\n1.png,a\n./1.png,b\n", "line 3: 1.png is listed twice"),
        ("path,label,split\n1.png,a,exam\n", "line 2: split 'exam' is not train, validation"),
        ("path,label,split\n1.png,a,\n", "line 2: split '' is not train, validation"),
        ("path,label\n1.png," + "x" * 200_000, "after line 1: field larger than field limit"),
        ("path,label\n1.png,a\0\n", "not a text file"),
        ("path,label\n1.png,a\n", "found one class, a;"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, reason: str, tmp_path: Path) -> None:
    table = write(tmp_path, text)
    with pytest.raises(DataError, match=rf"photos\.csv: .*{reason}") as caught:
        load_dataset(table)
    assert "\n" not in str(caught.value)


def test_two_csvs_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "path,label\n1.png,tea\n2.png,milk\n")
    (tmp_path / "other.csv").write_text("id,colour\n1,red\n")
    assert load_dataset(tmp_path).classes == ("milk", "tea")
    (tmp_path / "more.csv").write_text("path,label\n1.png,tea\n")
    with pytest.raises(DataError, match=r"has several CSVs of labels; name one: .*more\.csv"):
        load_dataset(tmp_path)


def test_why_a_csv_in_a_folder_is_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = write(tmp_path, "id,colour\n1,red\n", "images/1.png")
    with pytest.raises(DataError, match="found one class, images"):
        load_dataset(tmp_path)
    reason = r"not read as labels \(needs one column named path, .* it has id, colour\)"
    assert re.search(f"{table}: {reason}", caplog.text)


def test_images_of_a_csv_are_split_as_those_of_a_folder(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(20)]
    rows = "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(names))
    table = write(tmp_path, "file,class\n" + rows, *names)
    for i, name in enumerate(names):
        Image.new("L", (4, 4), i).save(tmp_path / name)
    split_folder(load_dataset(table), 0, {"test": 0.3})
    for data in (table, tmp_path):
        assert set(load_dataset(data).splits) == {"train", "test"}


@pytest.mark.skipif(sys.platform != "linux", reason="its file names are any bytes")
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    names = [os.fsdecode(b"caf\xe9.png"), "\u8336.png"]
    table = write(tmp_path, "path,label\ncaf\udce9.png,a\udcff\n\u8336.png,b\n", *names)
    dataset = load_dataset(table)
    assert dataset.classes == ("a\udcff", "b")
    assert dataset.splits["all"].names() == names
    assert len(dataset.splits["all"][0].read()) > 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(DataError, match=r"cannot be read as a CSV of labels \(not a regular"):
        load_dataset(tmp_path / "labels.csv")
