"""Files that other people wrote: what they may be, and what is said of the others."""

import os
from pathlib import Path

import pytest

from foodvision.files.read import (
    open_csv,
    open_regular,
    parse_json,
    read_bytes,
    read_json,
    read_toml,
)


def test_a_fifo_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(path)


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", limit=5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        read_bytes(tmp_path / "a", limit=4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": -Infinity}', "-Infinity is not a finite number"),
        ('{"a": 1e999}', "1e999 is not a finite number"),
        ('{"a": 1, "b": 2, "a": 3}', "key 'a' is there twice"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5_000, "digits"),
        ("{", "Expecting property name"),
        (b"\xff\xfe{", "codec can't decode"),
    ],
)
def test_json_is_read_strictly(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_files_are_parsed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1.5, "é"]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"a": [1.5, "é"]}
    (tmp_path / "a.toml").write_text("\ufeffa = 1", encoding="utf-8")
    assert read_toml(tmp_path / "a.toml") == {"a": 1}
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_toml(tmp_path / "deep.toml")


def test_csv_of_many_tools(tmp_path: Path) -> None:
    rows = {b"a,b\n1,2;3\n4\n", b"\xef\xbb\xbfa;b\r\n1;2;3\r\n4\r\n", b"a\tb\n1\t2;3\n4"}
    assert [list(open_csv(_written(tmp_path, content))) for content in sorted(rows)] == [
        [{"a": "1", "b": "2;3"}, {"a": "4", "b": ""}],
        [{"a": "1", "b": "2;3"}, {"a": "4", "b": ""}],
        [{"a": "1", "b": "2", None: ["3"]}, {"a": "4", "b": ""}],
    ]
    (row,) = open_csv(_written(tmp_path, b"name\ncaf\xe9\n"))
    assert row == {"name": "caf\udce9"}
    with pytest.raises(ValueError, match="first line is longer than 10,000"):
        open_csv(_written(tmp_path, b"a," * 10_000))
    with pytest.raises(ValueError, match="not a text file"):
        open_csv(_written(tmp_path, b"a,b\n1,\0\n"))


def _written(folder: Path, content: bytes) -> Path:
    (folder / "a.csv").write_bytes(content)
    return folder / "a.csv"


def test_a_split_csv_of_a_million_images_is_read(tmp_path: Path) -> None:
    row = f"class name/IMG_20260101_123456.jpg,class name,{'0' * 64},train,seed=0 test=0.15\n"
    path = _written(tmp_path, f"name,class,sha256,split,rule\n{row}".encode())
    with path.open("r+b") as file:  # a sparse file: the size of a million rows, and no rows
        file.truncate(1_000_000 * len(row))
    with pytest.raises(ValueError, match="not a text file"):  # and not "larger than"
        open_csv(path)
    with path.open("r+b") as file:
        file.truncate(300 << 20)
    with pytest.raises(OSError, match="larger than 201 MB"):
        open_csv(path)
