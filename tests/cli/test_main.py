"""Behaviour common to all commands: help, exit codes, one clear line per error."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from foodvision.classifier import describe as module
from tests.cli.conftest import Result


def test_help_and_version_are_fast_and_do_not_import_torch() -> None:
    program = (
        "import sys; sys.argv = ['foodvision', '--help']\n"
        "from foodvision.cli import main\n"
        "try: main()\n"
        "except SystemExit: print('heavy:', {'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "COVERAGE_RUN"}
    best = 9.0
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment
        )
        best = min(best, time.perf_counter() - started)
    assert "heavy: set()" in done.stdout
    assert "evaluate" in done.stdout
    assert best < 2.0  # 0.2 s on an idle machine; imports would slow it down


def test_version(run: Callable[..., Result]) -> None:
    assert run("--version").out.startswith("foodvision 0.")


def test_wrong_usage_exits_with_2(run: Callable[..., Result]) -> None:
    assert run("train").code == 2
    assert run("nosuch").code == 2
    assert run("train", "x", "--set", "epochs").code == 2
    assert run("app", "--port", "80000").code == 2


def one_class(tmp_path: Path) -> Path:
    (tmp_path / "one" / "a").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "one" / "a" / "1.png")
    return tmp_path / "one"


def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def text_image(tmp_path: Path) -> Path:
    (tmp_path / "text.jpg").write_text("I am a text.")
    return tmp_path / "text.jpg"


def occupied(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    return tmp_path / "file" / "run"


def corrupt(model: Path) -> Path:
    (model / "model.safetensors").write_bytes(b"x" * 50)
    return model


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (lambda t, m, p: ["train", t / "nowhere"], "no such folder"),
        (lambda t, m, p: ["train", ""], "DATA is empty"),
        (lambda t, m, p: ["train", empty(t)], "no class folders with images"),
        (
            lambda t, m, p: ["train", p, "--exclude-classes", "ramen"],
            "'ramen'; it has dots, stripes",
        ),
        (lambda t, m, p: ["train", p, "--exclude-classes", "wave"], "did you mean 'waves'?"),
        (lambda t, m, p: ["train", one_class(t)], "found one class"),
        (lambda t, m, p: ["train", p, "--set", "epoch=3"], "did you mean 'epochs'"),
        (lambda t, m, p: ["train", p, "--recipe", "nosuch"], "no recipe 'nosuch'"),
        (lambda t, m, p: ["train", p, "--network", "vgg"], "no network 'vgg'"),
        (lambda t, m, p: ["train", p, "--out", occupied(t)], "cannot be written"),
        (lambda t, m, p: ["train", p, "--out", m], "is not empty"),
        (lambda t, m, p: ["train", p, "--device", "tpu"], "not on this machine"),
        (lambda t, m, p: ["evaluate", t / "nowhere", p], "no such model folder"),
        (lambda t, m, p: ["evaluate", corrupt(m), p], "model.safetensors is damaged"),
        (lambda t, m, p: ["evaluate", m, p, "--split", "mine"], "has no split mine"),
        (lambda t, m, p: ["evaluate", m, p, "--out", occupied(t)], "cannot be written"),
        (lambda t, m, p: ["predict", t / "no.jpg", "--model", m], "no such file"),
        (lambda t, m, p: ["predict", empty(t), "--model", m], "no images in this folder"),
        (lambda t, m, p: ["predict", text_image(t), "--model", m], "not an image"),
        (lambda t, m, p: ["predict", p, "--model", m, "--out", "x.txt"], "must end in .csv"),
        (lambda t, m, p: ["predict", p, "--model", m, "--out", occupied(t) / "a.csv"], "written"),
        (lambda t, m, p: ["info", empty(t)], "not a model folder"),
        (lambda t, m, p: ["app", t / "nowhere"], "no such model folder"),
        (lambda t, m, p: ["app", m, "--host", "192.0.2.1"], "--host 192.0.2.1: this machine can"),
        (lambda t, m, p: ["data", "get", "nosuch"], "no dataset is named 'nosuch'"),
        (lambda t, m, p: ["data", "get", "drawn", "--out", m], "is not empty"),
        (lambda t, m, p: ["data", "get", "mini", "--out", m], "is not empty"),
        (lambda t, m, p: ["data", "get", "mini", "--source", t / "nowhere"], "no such folder"),
        (lambda t, m, p: ["data", "get", "mini20", "--source", p], "has no pizza in train"),
        (lambda t, m, p: ["data", "get", "big", "--source", p], "only mini, mini20 can"),
        (lambda t, m, p: ["data", "split", p], "has splits already"),
        (lambda t, m, p: ["data", "check", t / "nowhere"], "no such folder"),
        (lambda t, m, p: ["data", "check", p, "--html", occupied(t)], "cannot be written"),
        (lambda t, m, p: ["data", "check", p, "--fix-list", empty(t)], "is a folder"),
    ],
)
def test_likely_mistakes_are_one_clear_line(
    command: Callable[[Path, Path, Path], list[object]],
    reason: str,
    run: Callable[..., Result],
    model: Path,
    patterns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*command(tmp_path, model, patterns))
    assert result.code == 1, result
    assert reason in result.err
    lines = [line for line in result.err.splitlines() if " classes × " not in line]  # the dataset
    assert len(lines) == 1, result.err
    assert lines[0].startswith("foodvision: ")
    assert result.out == ""


def test_a_bug_is_one_line_and_debug_shows_the_traceback(
    run: Callable[..., Result], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "describe", lambda model: 1 / 0)
    result = run("info", model)
    assert result.code == 1
    assert result.err.strip() == (
        "foodvision: ZeroDivisionError: division by zero "
        "(a bug in foodvision; --debug shows the traceback)"
    )
    with pytest.raises(ZeroDivisionError):
        run("info", model, "--debug")


def test_what_a_terminal_cannot_show_is_escaped(model: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "foodvision", "info", model],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "32 \\u00d7 32 px" in ended.stdout  # as in JSON, which is printed as well


@pytest.mark.skipif(sys.platform == "win32", reason="keeps a folder that a process is in")
def test_a_folder_that_is_gone_is_one_line(
    run: Callable[..., Result], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = run("info", model)
    assert (result.code, result.err) == (
        1,
        "foodvision: the current folder has been deleted: cd to another one\n",
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ..."),
        torch.cuda.OutOfMemoryError("Allocation on device 0 would exceed allowed memory."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GiB)."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] data. can't allocate memory: you tried"),
        MemoryError(),
    ],
    ids=["torch", "torch.cuda", "driver", "mps", "cpu", "python"],
)
def test_out_of_memory_says_what_to_do(
    error: Exception, run: Callable[..., Result], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(model: str) -> str:
        raise error

    monkeypatch.setattr(module, "describe", describe)
    result = run("info", model)
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    for part in ("not enough memory", "--set batch_size=N", "--batch-size N", "--device cpu"):
        assert part in result.err
