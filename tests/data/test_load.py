from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from foodvision.data import load_dataset
from foodvision.errors import DataError
from tests.data.folders import make


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
