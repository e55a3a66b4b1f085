"""Images in the rows of Parquet files, here and at an address."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from foodvision.errors import DataError
from foodvision.files import parquet_images
from foodvision.files.parquet_images import count_images, read_row

CONTENT = [b"0", b"1", None, b"3", b"4"]


@pytest.mark.parametrize("kind", ["bytes", "struct", "remote"])
def test_each_row_is_read_from_its_row_group(kind: str, tmp_path: Path) -> None:
    images: list[object] = [*CONTENT]
    if kind == "struct":  # as `datasets` writes images
        images = [{"bytes": content, "path": "x.png"} for content in CONTENT]
    file = str(tmp_path / "photos.parquet")
    table = pa.table({"label": range(5), "image": images})
    pyarrow.parquet.write_table(table, file, row_group_size=2)
    if kind == "remote":
        fsspec.filesystem("memory").pipe("/photos.parquet", Path(file).read_bytes())
        file = "memory://photos.parquet"
    assert count_images(file) == 5
    for row in (4, 0, 3, 1):
        assert read_row(f"{file}#{row}") == CONTENT[row]
    with pytest.raises(DataError, match="there is no image in this row"):
        read_row(f"{file}#2")
    with pytest.raises(DataError, match="no such row: the file has 5"):
        read_row(f"{file}#5")


def test_other_files_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.parquet"
    with pytest.raises(DataError, match=r"cannot be read as Parquet \(.*No such file"):
        count_images(str(file))
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        count_images(str(file))
    pyarrow.parquet.write_table(pa.table({"path": ["a"], "label": ["b"]}), file)
    with pytest.raises(DataError, match="needs one column of images; it has path, label"):
        count_images(str(file))
    pyarrow.parquet.write_table(pa.table({"image": [b"1"]}), tmp_path / "b.parquet")
    repeated = pa.table({"image": [bytes(1000)] * 300})  # which the file holds once
    pyarrow.parquet.write_table(repeated, tmp_path / "c.parquet")
    monkeypatch.setattr(parquet_images, "MAX_GROUP_BYTES", 10_000)
    with pytest.raises(DataError, match="more than 10,000 bytes"):
        read_row(f"{tmp_path}/c.parquet#0")
    monkeypatch.setattr(parquet_images, "MAX_GROUP_BYTES", 5)
    with pytest.raises(DataError, match="write the file with smaller row groups"):
        read_row(f"{tmp_path}/b.parquet#0")
