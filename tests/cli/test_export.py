from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result


def test_what_is_wrong_is_said(
    run: Callable[..., Result], exported: Path, model: Path, tmp_path: Path, patterns: Path
) -> None:
    done = run("export", model, "--format", "onnx", "--int8", "--out", tmp_path / "a")
    assert done.code == 1
    assert "--int8 is calibrated on training images: give them with --data" in done.err
    done = run("export", model, "--format", "onnx", "--out", exported)
    assert "exists already; choose another --out" in done.err
    done = run("export", exported, "--format", "onnx", "--out", tmp_path / "a")
    assert "is exported; give the folder that it was exported from" in done.err
    image = next(patterns.rglob("*.png"))
    done = run("predict", image, "--model", exported, "--device", "cuda")
    assert "exported models run on the CPU" in done.err
    done = run("predict", image, "--model", exported, "--backend", "onnx/int4")
    assert "has no backend onnx/int4, only onnx/float32, openvino/float32" in done.err
    done = run("predict", image, "--model", model, "--backend", "onnx/float32")
    assert "has no backend onnx/float32, only torch; export it" in done.err
    done = run("info", exported)
    assert "unsure     says when" in done.out
    assert "graphs     onnx/float32, openvino/float32" in done.out
    done = run("explain", image, "--model", exported)
    assert "is exported" in done.err
