from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.conftest import CLASSES


def test_predict_takes_files_folders_globs_and_keeps_going(
    run: Callable[..., Result], model: Path, patterns: Path, tmp_path: Path
) -> None:
    folder = patterns / "test" / "dots"
    listed = json.loads(run("predict", folder, "--model", model, "--json").out)
    assert len(listed) == 10
    assert set(listed[0]) == {"path", "label", "probability", "probabilities", "sure", "error"}
    globbed = run("predict", str(patterns / "test" / "*" / "1000.png"), "--model", model)
    assert len(globbed.out.splitlines()) == 3

    (tmp_path / "bad.jpg").write_text("I am a text.")
    mixed = run("predict", folder / "1000.png", tmp_path / "bad.jpg", "--model", model, "--json")
    rows = json.loads(mixed.out)
    assert (mixed.code, rows[0]["error"], rows[1]["label"]) == (0, None, None)
    assert "1 of 2 images cannot be opened" in mixed.err


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_predict_writes_files(
    suffix: str, run: Callable[..., Result], model: Path, patterns: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"answers.{suffix}"
    assert run("predict", patterns / "test", "--model", model, "--out", out).code == 0
    first, *others = out.read_text().splitlines()
    assert len(others) == 29 + (suffix == "csv")
    if suffix == "csv":
        assert first == "path,label,probability,sure,error,p_dots,p_stripes,p_waves"


def test_predict_reads_standard_input(model: Path, patterns: Path) -> None:
    content = (patterns / "test" / "dots" / "1000.png").read_bytes()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "foodvision",
            "predict",
            "-",
            "--model",
            str(model),
            "--json",
            "--device",
            "cpu",
        ],
        input=content,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)[0]["label"] in CLASSES


def test_predict_shows_more_classes_marks_and_sorts(
    run: Callable[..., Result], model: Path, patterns: Path, tmp_path: Path
) -> None:
    folder, out = patterns / "test", tmp_path / "sorted"
    options = ("--top", 9, "--threshold", 0.55, "--sort-into", out)
    done = run("predict", folder, "nosuch.png", "--model", model, *options)
    assert done.code == 0
    lines = done.out.splitlines()
    assert len(lines) == 30
    assert all(name in line for line in lines for name in CLASSES)
    unsure = sum("unsure" in line for line in lines)
    assert 0 < unsure < 30
    assert len(list((out / "unsure").iterdir())) == unsure
    assert len(list(out.glob("*/*.png"))) == 30
    assert "nosuch.png: no such file or folder" in done.err
    assert "1 of 31 images cannot be opened" in done.err
    for wrong in (["--copy"], ["--sort-into", ""]):
        assert run("predict", folder, "--model", model, *wrong).code == 2


def test_what_is_wrong_is_said_before_torch_is_imported(model: Path, tmp_path: Path) -> None:
    for arguments in (
        ["predict", "nosuch.png", "--model", str(model)],
        ["predict", str(model), "--model", "nosuch"],
        ["predict", str(model / "config.json"), "--model", "nosuch"],
        ["predict", str(model / "config.json"), "--model", str(model), "--out", "x.txt"],
        ["evaluate", "nosuch", str(tmp_path)],
        ["evaluate", str(model), "nosuch"],
        ["app", "nosuch"],
    ):
        program = (
            f"import sys; sys.argv = {['foodvision', *arguments]!r}\n"
            "from foodvision.cli import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n"
            "    sys.exit(str(end.code) + ' torch' * ('torch' in sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stderr.startswith("foodvision: "), arguments
        assert "torch" not in done.stderr, arguments
