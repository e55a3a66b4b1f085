"""What the command line is given, as numbered images."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from foodvision.classifier.predict import Prediction
from foodvision.errors import DataError
from foodvision.rows import inputs
from foodvision.rows.inputs import Inputs, find_inputs
from tests.conftest import draw_pattern


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("1.png", "2.jfif", "day/3.JPE", "day/deep/4.tif", "day/notes.txt", "Thumbs.db"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "empty").mkdir()
    return folder


IMAGES = ["1.png", "2.jfif", "day/3.JPE", "day/deep/4.tif"]


@pytest.mark.parametrize("pattern", ["", "*", "**", "**/*"])
def test_folders_in_a_glob_are_folders(
    pattern: str, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = str(photos / pattern)
    assert sorted(find_inputs([text]).names()) == [str(photos / name) for name in IMAGES]
    assert caplog.messages == [
        f"{text}: 2 files left out, whose suffix is not that of an image: 1 .db, 1 .txt"
    ]


def test_named_files_are_tried_whatever_their_suffix(photos: Path) -> None:
    for pattern in ("notes.txt", "*.txt"):
        found = find_inputs([str(photos / "day" / pattern)])
        assert list(found.sources()) == [str(photos / "day/notes.txt")]


def test_a_bad_input_does_not_stop_the_others(photos: Path) -> None:
    os.mkfifo(photos / "fifo")
    reasons = {
        "": "is empty; give a file, folder, glob or URL, such as . for this folder",
        " ": "is empty; give a file, folder, glob or URL, such as . for this folder",
        str(photos / "empty"): "no images in this folder",
        str(photos / "*.gif"): "no such file or folder",
        "x" * 300: "cannot be read (File name too long)",
    }
    good = [str(photos / "1.png"), str(photos / "fifo")]  # which open_image refuses
    found = find_inputs([good[0], *reasons, good[1]])
    assert list(found.sources()) == good
    assert list(found.names()) == [good[0], *reasons, good[1]]
    assert [(row.path, row.error) for row in found.missing.values()] == [*reasons.items()]
    for text, reason in reasons.items():
        with pytest.raises(
            DataError, match=re.escape(f"{text if text.strip() else repr(text)}: {reason}")
        ):
            find_inputs([text])


def test_lists_stand_for_the_images_in_them(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "tables" / "0.parquet"
    table.parent.mkdir()
    pyarrow.parquet.write_table(pa.table({"image": [b"0", b"1"]}), table)
    rows = [f"{table}#0", f"{table}#1"]
    for text in (table, table.parent, table.parent / "*"):
        assert list(find_inputs([str(text)]).names()) == rows
    assert list(find_inputs([rows[1]]).names()) == [rows[1]]
    shutil.copy(table, photos / "answers.parquet")  # beside images, it is not meant
    assert list(find_inputs([str(photos)]).names()) == [str(photos / name) for name in IMAGES]
    assert "1 .parquet" in caplog.messages[-1]

    listed = tmp_path / "list.csv"
    listed.write_text("label;path\n;photos/1.png\n;/2.png\n;\n;s3://a/b.png\n")
    expected = [str(photos / "1.png"), "/2.png", "s3://a/b.png"]
    assert list(find_inputs([str(listed)]).names()) == expected
    listed.write_text("image\n1.png\n")
    with pytest.raises(DataError, match=r"list.csv: has no column 'path'"):
        find_inputs([str(listed)])


def test_addresses_are_listed_like_paths(caplog: pytest.LogCaptureFixture) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("b.png", "day/a.jpg", "day/notes.txt"):
        memory.pipe(f"/photos/{name}", b"")
    names = ["memory:///photos/b.png", "memory:///photos/day/a.jpg"]
    assert list(find_inputs(["memory://photos"]).names()) == names
    assert caplog.messages == [
        "memory://photos: 1 file left out, whose suffix is not that of an image: 1 .txt"
    ]
    assert list(find_inputs(["memory://photos/day/*"]).names()) == names[1:]
    assert list(find_inputs(["memory://photos/day/notes.txt"]).names()) == [
        "memory://photos/day/notes.txt"
    ]
    with pytest.raises(DataError, match="memory://nosuch: no such file or folder"):
        find_inputs(["memory://nosuch"])


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Inputs]:
    """What standard input stands for."""

    def find(content: bytes) -> Inputs:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return find_inputs(["-"])

    return find


def test_standard_input_is_bounded(
    typed: Callable[[bytes], Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="-: a line of standard input is longer than 65,536 bytes"):
        typed(b"x" * 200_000)
    monkeypatch.setattr(inputs, "MAX_DOWNLOAD_BYTES", 10)
    with pytest.raises(DataError, match="-: standard input is larger than 0 MB"):
        typed(b"\xff\xd8\xff" + b"x" * 8)


def test_standard_input_is_an_image_or_a_list(typed: Callable[[bytes], Inputs]) -> None:
    for suffix in ("png", "jpeg", "gif", "webp", "bmp", "tiff", "ppm"):
        file = io.BytesIO()
        draw_pattern("dots", 0).save(file, suffix)
        found = typed(file.getvalue())
        assert (list(found.names()), list(found.sources())) == (["<image>"], [file.getvalue()])
    found = typed(b"\xef\xbb\xbf[1].png\r\n\n http://x/y.png\n*\xff.jpg")
    assert list(found.sources()) == ["[1].png", " http://x/y.png", "*\udcff.jpg"]
    many = [f"{i}/{'x' * (i % 90)}" for i in range(30_000)]
    assert list(typed("\n".join(many).encode()).names()) == many
    with pytest.raises(DataError, match="-: standard input is empty"):
        typed(b"")


@pytest.mark.parametrize("first", range(10))
def test_rows_from_one_on_are_computed_in_the_same_batches(first: int, photos: Path) -> None:
    texts = ["a.png", "b.png", "c.png"]
    for text in texts:
        (photos / text).touch()
    found = find_inputs(["no1", *(str(photos / text) for text in texts), "no2", str(photos / "*")])
    batches: list[list[object]] = []

    def predict(sources: Iterator[object]) -> Iterator[Prediction]:
        while batch := list(islice(sources, 3)):
            batches.append(batch)
            yield from (Prediction(str(source)) for source in batch)

    whole = [row.path for row in found.rows(predict, Prediction, 3)]
    assert len(whole) == len(found) == 12
    every, batches = batches, []
    assert whole == list(found.names())
    assert [row.path for row in found.rows(predict, Prediction, 3, first)] == whole[first:]
    assert batches == every[len(every) - len(batches) :]
