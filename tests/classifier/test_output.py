"""Parquet, and what is refused before any work; the other formats: test_predict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from foodvision.classifier.output import write_predictions
from foodvision.classifier.predict import Prediction
from foodvision.errors import FoodvisionError, MissingExtraError, RunInterruptedError
from foodvision.rows import parquet_table
from foodvision.rows.output import open_table

CLASSES = ("b", "not utf-8 \udcff")


def rows(n: int) -> list[Prediction]:
    return [
        Prediction(f"{i}\udcff.png", "b", 0.75, {"b": 0.75, CLASSES[1]: 0.25}, sure=i % 2 == 0)
        for i in range(n)
    ]


def test_parquet_files_and_row_groups_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_table, "FILE_ROWS", 10)
    monkeypatch.setattr(parquet_table, "GROUP_ROWS", 4)
    write_predictions(
        iter([*rows(20), Prediction("x", error="bad")]),
        21,
        open_table(tmp_path / "o"),
        classes=CLASSES,
    )
    parts = sorted((tmp_path / "o").iterdir())
    assert [path.name for path in parts] == [f"part-0000{i}.parquet" for i in range(3)]
    sizes = [
        [pq.ParquetFile(part).metadata.row_group(g).num_rows for g in range(groups)]
        for part, groups in zip(parts, (3, 3, 1), strict=True)
    ]
    assert sizes == [[4, 4, 2], [4, 4, 2], [1]]
    *others, last = pq.read_table(tmp_path / "o").to_pylist()
    column = "p_not utf-8 \\udcff"
    assert others[3] == {
        "path": "3\\udcff.png", "label": "b", "probability": 0.75, "sure": False, "error": None,
        "p_b": 0.75, column: 0.25,
    }  # fmt: skip
    assert (last["error"], last["p_b"], last["label"]) == ("bad", None, None)


@pytest.mark.parametrize("n", [0, 10])
def test_no_file_is_empty_but_the_only_one(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_table, "FILE_ROWS", 10)
    write_predictions(iter(rows(n)), n + 1, open_table(tmp_path / "o"), classes=CLASSES)
    assert len(list((tmp_path / "o").iterdir())) == 1
    assert pq.read_table(tmp_path / "o").num_rows == n


def test_an_interruption_leaves_whole_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> Iterator[Prediction]:
        yield from rows(15)
        raise KeyboardInterrupt

    monkeypatch.setattr(parquet_table, "FILE_ROWS", 10)
    with pytest.raises(RunInterruptedError, match="has 10 rows; continue with"):
        write_predictions(interrupted(), 99, open_table(tmp_path / "o"), classes=CLASSES)
    assert [path.name for path in (tmp_path / "o").glob("[!.]*")] == ["part-00000.parquet"]
    assert pq.read_table(tmp_path / "o").num_rows == 10


def test_what_cannot_be_written_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fine in (Path("a.csv"), Path("a.jsonl"), tmp_path / "new", tmp_path / "a.parquet"):
        open_table(fine)
    open_table(tmp_path)  # exists, and is empty
    (tmp_path / "file").touch()
    for out, reason in {
        tmp_path: "is not empty",
        tmp_path / "file": "Not a directory",
        tmp_path / "a.txt": "must end in .csv or .jsonl, or be a folder",
    }.items():
        with pytest.raises(FoodvisionError, match=reason):
            open_table(out)
    monkeypatch.setattr(parquet_table, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foodvision\[data\]'"):
        open_table(tmp_path / "new")
