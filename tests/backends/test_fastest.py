from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import pytest

from foodvision.backends import fastest
from foodvision.backends.fastest import open_fastest
from foodvision.backends.graph import Graph
from foodvision.errors import MissingExtraError
from tests.files.test_atomic import without_home

SLOW = {"onnx/float32": 0.02, "openvino/float32": 0.0, "openvino/bf16": 0.04}
RUNS = tuple(SLOW)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The runs that were opened."""
    runs: list[str] = []

    def open_graph(folder: Path, run: str, threads: int) -> Graph:
        runs.append(run)

        def graph(image: np.ndarray) -> np.ndarray:
            time.sleep(SLOW[run])
            return np.zeros(3, np.float32)

        return graph

    monkeypatch.setattr(fastest, "open_graph", open_graph)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return runs


def test_runs_are_timed_once(
    opened: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for expected in (list(RUNS), ["openvino/float32"]):
        opened.clear()
        run, graph = open_fastest(tmp_path, b"this export", RUNS)
        assert run == "openvino/float32"
        assert graph(np.zeros((1, 2, 2, 3), np.uint8)).shape == (3,)
        assert opened == expected
    assert "running openvino/float32, the fastest here" in caplog.text
    opened.clear()
    open_fastest(tmp_path, b"another", RUNS)
    open_fastest(tmp_path, b"this export", RUNS[:2])
    assert opened == [*RUNS, *RUNS[:2]]


def test_a_note_that_cannot_be_used_is_none(opened: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_text("a file")
    assert open_fastest(tmp_path, b"", RUNS)[0] == "openvino/float32"
    cache.unlink()
    open_fastest(tmp_path, b"", RUNS)
    (note,) = cache.rglob("*.txt")
    note.write_text("../../x")
    opened.clear()
    assert open_fastest(tmp_path, b"", RUNS)[0] == "openvino/float32"
    assert opened == list(RUNS)


def test_without_a_home_nothing_is_remembered(
    opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_home(monkeypatch)
    for _ in range(2):
        opened.clear()
        assert open_fastest(tmp_path, b"", RUNS)[0] == "openvino/float32"
        assert opened == list(RUNS)


def test_a_single_run_is_not_timed(
    opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastest, "seconds_of", None)
    assert open_fastest(tmp_path, b"", RUNS[:1])[0] == "onnx/float32"
    monkeypatch.setattr(fastest, "is_installed", lambda run: False)
    with pytest.raises(MissingExtraError, match=r"foodvision\[export\]"):
        open_fastest(tmp_path, b"", RUNS)
