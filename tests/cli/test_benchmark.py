from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foodvision.evaluation import speed
from foodvision.export import benchmark
from tests.cli.conftest import Result


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "MAX_IMAGES", 6)
    monkeypatch.setattr(speed, "ROUNDS", 1)


def test_the_command(
    run: Callable[..., Result],
    saved: Path,
    exported: Path,
    patterns: Path,
    tmp_path: Path,
) -> None:
    arguments = ("benchmark", saved, exported, "--data", patterns, "--device", "cpu")
    result = run(*arguments, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    title, header, *rows, note, end = result.out.splitlines()
    assert title.endswith(": 6 images")
    assert header.split()[:5] == ["model", "run", "on", "decode", "resize"]
    assert [row.split()[1] for row in rows] == [
        "torch/float32",
        "torch/bf16",
        "onnx/float32",
        "openvino/float32",
    ]
    assert "in network" in rows[2]
    assert "30 images" in note
    assert end == f"benchmark in {tmp_path / 'out'}"
    content = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert set(content) == {"images", "timed", "scored", "batch_size", "rows"}
    assert set(content["rows"][2]) == {
        "model",
        "run",
        "device",
        "threads",
        "machine",
        "milliseconds",
        "images_per_second",
        "agreement",
        "log_loss",
    }
    assert set(content["rows"][0]["milliseconds"]["resize"]) == {"p50", "p95"}
    chart = np.array(Image.open(tmp_path / "out" / "benchmark.png").convert("RGB"))
    colours = {tuple(colour) for colour in chart.reshape(-1, 3)[::7].tolist()}
    assert {(0x2B, 0x5B, 0x84), (0x2E, 0x7D, 0x4F)} <= colours  # decode and network
    assert "| exported | onnx/float32 |" in (tmp_path / "out" / "benchmark.md").read_text()


def test_json_is_one_document(run: Callable[..., Result], saved: Path, patterns: Path) -> None:
    result = run("benchmark", saved, "--data", patterns, "--json", "--device", "cpu")
    assert result.code == 0, result.err
    assert json.loads(result.out)["rows"][0]["agreement"] == 1.0


def test_an_unknown_model_is_one_line(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("benchmark", tmp_path / "nosuch")
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert "no such model folder" in line
