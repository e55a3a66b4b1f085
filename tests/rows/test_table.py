"""Tables whose writing is interrupted anywhere, and resumed; with a model: tests/cli."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest
from filelock import FileLock

from foodvision.classifier.output import made_with, write_predictions
from foodvision.classifier.predict import Prediction
from foodvision.errors import FoodvisionError, RunInterruptedError
from foodvision.rows import parquet_table
from foodvision.rows.output import open_table

BACKEND = "onnx/float32"
CLASSES = ("b", 'a "quoted"\r\nname')
NAMES = ["1.png", 'two\r\nlines "and" a quote.png', "=1+1.png", "'.png", "\udcff.png", "", "7.png"]


def rows(names: Sequence[str] = NAMES) -> Iterator[Prediction]:
    for number, name in enumerate(names):
        if number % 3 == 1:
            yield Prediction(name, error='"bad"\n')
        else:
            yield Prediction(name, "b", 0.1 + 0.2, {"b": 0.1 + 0.2, CLASSES[1]: 0.7}, sure=False)


def stopped_after(number: int) -> Iterator[Prediction]:
    yield from islice(rows(), number)
    raise KeyboardInterrupt


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path / "model"


def write(
    out: Path, model: Path, resume: bool = False, names: Sequence[str] = NAMES, stop: int = 99
) -> int:
    """The number of rows that were there."""
    table = open_table(out, resume)
    table.begin(made_with(model, 0.5), names)
    assert table.backend == (BACKEND if table.is_begun() else None)
    table.backend = BACKEND
    kept = table.rows
    predictions = islice(rows(names) if stop == 99 else stopped_after(stop), kept, None)
    write_predictions(predictions, len(names), table, classes=CLASSES)
    return kept


def content(out: Path) -> dict[str, bytes]:
    files = out.iterdir() if out.is_dir() else [out]
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_text_table_cut_anywhere_continues_to_the_same_bytes(
    name: str, tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, out, growing = tmp_path / f"whole-{name}", tmp_path / name, tmp_path / f"{name}.partial"
    write(whole, model)
    with pytest.raises(RunInterruptedError, match=rf"{name}.partial has 6 rows; continue with"):
        write(out, model, stop=6)
    assert not out.exists()
    record, six = next(tmp_path.glob(".*.json")).read_text(), growing.read_bytes()
    assert whole.read_bytes().startswith(six)
    kept = set()
    ends = [match.end() for match in re.finditer(rb"\n", six)]
    for end in {0, *range(5, len(six), 41), *ends, *(end - 1 for end in ends)}:
        growing.write_bytes(six[:end])
        (tmp_path / f".{name}.partial.json").write_text(record)
        caplog.clear()
        kept.add(write(out, model, resume=True))
        assert out.read_bytes() == whole.read_bytes(), end
        assert caplog.messages == ["2 of 7 images cannot be opened"]
        assert {path.name for path in tmp_path.iterdir()} == {name, whole.name, "model"}
    assert kept == set(range(7))


@pytest.mark.parametrize("stop", range(8))
def test_a_parquet_folder_continues_with_whole_files(
    stop: int, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_table, "FILE_ROWS", 3)
    write(tmp_path / "whole", model)
    with pytest.raises(RunInterruptedError):
        write(tmp_path / "o", model, stop=stop)
    if stop < 3:
        assert content(tmp_path / "o") == {}
        return
    if stop > 5:  # as if killed when all was written, by a version with other sizes of files
        for number in (2, 3):
            whole = tmp_path / "whole/part-00002.parquet"
            shutil.copy(whole, tmp_path / f"o/part-0000{number}.parquet")
    (tmp_path / "o/.part-00002.parquet.tmp").write_bytes(b"half")
    assert write(tmp_path / "o", model, resume=True) == stop // 3 * 3
    assert content(tmp_path / "o") == content(tmp_path / "whole")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a"])
def test_what_has_changed_is_refused(
    name: str, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_table, "FILE_ROWS", 3)
    out = tmp_path / name
    with pytest.raises(FoodvisionError, match="no interrupted run; leave --resume out"):
        open_table(out, resume=True)
    with pytest.raises(RunInterruptedError):
        write(out, model, stop=4)
    growing = out if name == "a" else tmp_path / f"{name}.partial"
    before = content(growing)
    with pytest.raises(FoodvisionError, match="continue it with --resume, or delete it"):
        open_table(out)
    with pytest.raises(
        FoodvisionError, match=r"row 2 is .*, where the inputs now have x\.png; give"
    ):
        write(out, model, True, [NAMES[0], "x.png", *NAMES[2:]])
    with pytest.raises(FoodvisionError, match=r"row 3 is '?=1\+1\.png, .* now have no more images"):
        write(out, model, True, NAMES[:2])
    with pytest.raises(FoodvisionError, match="was begun with another threshold; give what"):
        open_table(out, resume=True).begin(made_with(model, None), NAMES)
    table = open_table(out, resume=True)
    table.backend = "openvino/int8"
    with pytest.raises(FoodvisionError, match="was begun with another backend; give what"):
        table.begin(made_with(model, 0.5), NAMES)
    (model / "config.json").write_text("[]")
    with pytest.raises(FoodvisionError, match="was begun with another model; give what"):
        write(out, model, resume=True)
    (model / "config.json").write_text("{}")
    assert content(growing) == before
    (record,) = tmp_path.rglob(".*.json")
    with (
        FileLock(record.with_suffix(".lock")),
        pytest.raises(FoodvisionError, match="another process writes it"),
    ):
        write(out, model, resume=True)
    names = [*NAMES, "added.png"]  # behind them all: nothing is wrong with it
    write(out, model, True, names)
    assert open_table(tmp_path / "b.csv").rows == 0


def test_a_damaged_table_is_one_line(tmp_path: Path, model: Path) -> None:
    for name, damage in {"a.csv": b"x,y\r\n", "a.jsonl": b"[]\n"}.items():
        with pytest.raises(RunInterruptedError):
            write(tmp_path / name, model, stop=2)
        growing = tmp_path / f"{name}.partial"
        growing.write_bytes(growing.read_bytes() + damage)
        with pytest.raises(FoodvisionError, match=rf"{growing}: is damaged \(.*\); delete it"):
            write(tmp_path / name, model, resume=True)
        growing.unlink()
        write(tmp_path / name, model)  # as the message says


def test_a_run_that_fails_before_its_first_row_leaves_no_trace(tmp_path: Path, model: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a"):
        (tmp_path / "a.csv").write_text("from before")
        with pytest.raises(RunInterruptedError, match="run the same command again"):
            write(tmp_path / name, model, stop=0)
    assert {path.name for path in tmp_path.rglob("*")} == {"a.csv", "a", "model", "config.json"}
    assert (tmp_path / "a.csv").read_text() == "from before"


def test_a_full_disk_keeps_the_rows(tmp_path: Path, model: Path) -> None:
    def full() -> Iterator[Prediction]:
        yield from islice(rows(), 2)
        raise OSError(28, "No space left on device")

    table = open_table(tmp_path / "a.jsonl")
    table.begin(made_with(model, 0.5), NAMES)
    table.backend = BACKEND
    message = (
        "a.jsonl.partial: cannot be written (No space left on device); fix that, then continue"
    )
    with pytest.raises(FoodvisionError, match=re.escape(message)):
        write_predictions(full(), 7, table, classes=CLASSES)
    assert write(tmp_path / "a.jsonl", model, resume=True) == 2


def test_a_link_stays_a_link(tmp_path: Path, model: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "b.jsonl")
    write(tmp_path / "a.jsonl", model)
    assert (tmp_path / "a.jsonl").is_symlink()
    lines = (tmp_path / "b.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == NAMES
