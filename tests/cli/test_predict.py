from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pandas
import pytest

from foodvision.classifier import ray_engine
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.predict import Prediction
from foodvision.rows import parquet_table
from tests.child import run_program
from tests.cli.conftest import Result, run_without_torch
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


def test_predict_writes_files_that_hold_the_same(
    run: Callable[..., Result], model: Path, patterns: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_text("I am a text.")
    tables = []
    for name in ("a.csv", "a.jsonl", "a"):
        out = tmp_path / name
        inputs = (patterns / "test", tmp_path / "bad.jpg")
        done = run("predict", *inputs, "--model", model, "--out", out, "--json")
        assert done.code == 0
        assert len(json.loads(done.out)) == 31  # printed as well
        if name == "a.csv":
            tables.append(pandas.read_csv(out))
        elif name == "a.jsonl":
            tables.append(pandas.read_json(out, lines=True))
        else:
            assert [path.name for path in out.iterdir()] == ["part-00000.parquet"]
            tables.append(pandas.read_parquet(out))
    csv, jsonl, parquet = tables
    columns = ["path", "label", "probability", "sure", "error", "p_dots", "p_stripes", "p_waves"]
    assert list(csv) == list(parquet) == columns
    assert set(jsonl) == {*columns, "probabilities"}
    for table in tables:
        shares = table[columns[5:]].astype(float)
        assert (len(table), shares.isna().any(axis=1).tolist()) == (31, [False] * 30 + [True])
        assert shares.iloc[:30].sum(axis=1).tolist() == pytest.approx([1] * 30)
        assert shares.iloc[:30].max(axis=1).equals(table["probability"].iloc[:30])
        assert table["path"].tolist() == csv["path"].tolist()
        assert table["error"].iloc[30] == csv["error"].iloc[30] != ""
    assert parquet[columns[5:]].equals(csv[columns[5:]])


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
    commands = (
        ["predict", "nosuch.png", "--model", str(model)],
        ["predict", str(model), "--model", "nosuch"],
        ["predict", str(model / "config.json"), "--model", "nosuch"],
        ["predict", str(model / "config.json"), "--model", str(model), "--out", "x.txt"],
        ["predict", str(model / "config.json"), "--model", str(model), "--out", str(model)],
        ["evaluate", "nosuch", str(tmp_path)],
        ["evaluate", str(model), "nosuch"],
        ["app", "nosuch"],
    )
    for command, error in zip(commands, run_without_torch(*commands), strict=True):
        assert error.startswith("foodvision: "), command


KILL = """
import os, signal, sys
from itertools import islice
from foodvision import cli
from foodvision.rows import parquet_table
from foodvision.classifier.classifier import Classifier

def killed(self, *arguments):
    yield from islice(predict_many(self, *arguments), after)
    os.kill(os.getpid(), signal.SIGKILL)

after = int(sys.argv.pop())
predict_many, Classifier.predict_many = Classifier.predict_many, killed
parquet_table.FILE_ROWS = 20
cli.main()
"""


@pytest.mark.parametrize("name", ["a.csv", "a"])
def test_predict_resumes_after_kill_to_the_same_bytes(
    name: str,
    run: Callable[..., Result],
    model: Path,
    patterns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet_table, "FILE_ROWS", 20)
    (tmp_path / "bad.jpg").write_text("I am a text.")
    images = ("nosuch.png", patterns / "test", tmp_path / "bad.jpg", patterns / "train")
    command = ("predict", *images, "--model", model, "--batch-size", 7, "--device", "cpu")
    whole, out = tmp_path / f"whole-{name}", tmp_path / name
    assert run(*command, "--out", whole).code == 0
    arguments = [*map(str, command), "--out", str(out), "67"]
    done = run_program(KILL, *arguments)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if name != "a":
        growing = tmp_path / f"{name}.partial"
        assert 60 < len(growing.read_text().splitlines()) < 80  # rows, a header, and "nosuch.png"
        with growing.open("a") as file:
            file.write('"half a ro')
    refused = run(*command, "--out", out)
    assert (refused.code, "continue it with --resume" in refused.err) == (1, True)
    resumed = run(*command, "--out", out, "--resume")
    assert (resumed.code, "2 of 122 images cannot be opened" in resumed.err) == (0, True)
    files = [path.relative_to(whole) for path in whole.rglob("*")] if name == "a" else [Path()]
    assert len(files) == (7 if name == "a" else 1)
    for file in files:
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    leftovers = {path.name for path in tmp_path.iterdir()} - {"model", "bad.jpg"}
    assert leftovers == {name, whole.name}
    assert run(*command, "--resume").code == 2


def test_interrupted_predictions_say_how_to_continue(
    run: Callable[..., Result],
    model: Path,
    patterns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(self: Classifier, *arguments: object) -> Iterator[Prediction]:
        yield Prediction("x")
        raise KeyboardInterrupt

    monkeypatch.setattr(Classifier, "predict_many", interrupted)
    out = tmp_path / "a.csv"
    done = run("predict", patterns / "test", "--model", model, "--out", out)
    assert (done.code, done.err) == (
        130,
        f"foodvision: interrupted; {out}.partial has 1 rows; continue with the same command and "
        "--resume\n",
    )


def test_predict_reads_a_list_on_standard_input(
    run: Callable[..., Result], model: Path, patterns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = sorted(map(str, (patterns / "test").rglob("*.png")))
    content = "\n".join([images[0], "nosuch.png", *images[1:]]).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    rows = json.loads(run("predict", "-", "--model", model, "--json").out)
    assert [row["path"] for row in rows] == [images[0], "nosuch.png", *images[1:]]
    assert [row["error"] for row in rows[:3]] == [None, "no such file", None]


def test_without_the_extra_of_ray_nothing_is_written(
    run: Callable[..., Result],
    model: Path,
    patterns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    out = tmp_path / "a.csv"
    done = run("predict", patterns, "--model", model, "--out", out, "--engine", "ray")
    message = "foodvision: --engine ray needs an extra: pip install 'foodvision[ray]'\n"
    assert done == (1, "", message)
    assert not list(tmp_path.glob("*a.csv*"))


@pytest.mark.skipif(not find_spec("ray"), reason="the extra 'ray' is not installed")
def test_ray_writes_what_one_process_writes(
    run: Callable[..., Result], model: Path, patterns: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_text("I am a text.")
    images = ("nosuch.png", patterns / "train", tmp_path / "bad.jpg")
    command = ("predict", *images, "--model", model, "--batch-size", 2, "--device", "cpu")
    whole, out = tmp_path / "whole.jsonl", tmp_path / "ray.jsonl"
    assert run(*command, "--out", whole).code == 0
    # In a process of its own: one that has started Ray keeps threads.
    words = [*map(str, command), "--out", str(out), "--engine", "ray"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    foodvision = [sys.executable, "-m", "foodvision"]
    done = subprocess.run([*foodvision, *words], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "2 of 92 images cannot be opened" in done.stderr
    rows, expected = (
        [json.loads(line) for line in table.read_text().splitlines()] for table in (out, whole)
    )
    assert [row["path"] for row in rows] == [row["path"] for row in expected]
    for row, one in zip(rows, expected, strict=True):
        assert (row["label"], row["error"]) == (one["label"], one["error"])
        assert row["probabilities"] == pytest.approx(one["probabilities"], abs=1e-6)
