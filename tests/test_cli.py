"""The command line as users meet it: exit codes, one clear line, JSON that is nothing but JSON."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from foodvision import cli
from foodvision.classifier import Classifier
from foodvision.data import food101
from tests.conftest import CLASSES
from tests.files.web import Web

FAST = [
    f"--set={change}" for change in ("image_size=32", "num_layers=1", "epochs=1", "batch_size=16")
]


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    def call(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["foodvision", *map(str, args)])
        capfd.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)  # as the interpreter does at its end
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture
def model(tmp_path: Path, classifier: Classifier) -> Path:
    classifier.save(tmp_path / "model")
    return tmp_path / "model"


def test_help_and_version_are_quick_and_import_no_torch() -> None:
    program = (
        "import sys; sys.argv = ['foodvision', '--help']\n"
        "from foodvision.cli import main\n"
        "try: main()\n"
        "except SystemExit: print('heavy:', {'torch', 'numpy', 'PIL'} & set(sys.modules))\n"
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
    assert best < 2.0  # 0.3 s on a quiet machine; what would make it slow is asserted above


def test_version(run: Callable[..., Result]) -> None:
    assert run("--version").out.startswith("foodvision 0.")


def test_wrong_usage_is_exit_2(run: Callable[..., Result]) -> None:
    assert run("train").code == 2
    assert run("nosuch").code == 2
    assert run("train", "x", "--set", "epochs").code == 2


def test_the_story_of_the_readme(
    run: Callable[..., Result], patterns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "r"
    trained = run("train", patterns, "--out", out, *FAST)
    assert trained.code == 0, trained.err
    assert f"Next: foodvision evaluate {out} {patterns}" in trained.out
    assert "training and" in trained.err  # what is about to be done

    evaluated = run("evaluate", out, patterns, "--json", "--out", tmp_path / "report")
    document = json.loads(evaluated.out)
    assert {
        "n",
        "log_loss",
        "accuracy",
        "accuracy_ci95",
        "ece",
        "classes",
        "per_class",
        "confusion",
    } <= set(document)
    assert document["n"] == 30
    assert (tmp_path / "report" / "confusion.png").exists()
    assert run("evaluate", out, patterns).out.splitlines()[1].startswith("log loss")

    information = run("info", out)
    assert "1 epochs, seed 0" in information.out
    assert "dots, stripes, waves" in information.out


def test_train_on_some_classes_and_a_share(
    run: Callable[..., Result], patterns: Path, tmp_path: Path
) -> None:
    (tmp_path / "classes.txt").write_text(f"{CLASSES[2]}\n\n {CLASSES[0]} \n")
    some = ["--classes", tmp_path / "classes.txt", "--fraction", 0.5]
    assert run("train", patterns, *FAST, *some, "--out", tmp_path / "a").code == 0
    assert set(Classifier.load(tmp_path / "a").classes) == {CLASSES[0], CLASSES[2]}
    none = ["--exclude-classes", f"{CLASSES[0]}, {CLASSES[1]}"]
    failed = run("train", patterns, *FAST, *none, "--out", tmp_path / "b")
    assert failed.code == 1
    assert "fewer than two classes: waves" in failed.err
    assert run("train", patterns, "--classes", tmp_path / "none.txt").code == 2
    for content in (b"\n \n", b"\xff\xfe\x00"):
        (tmp_path / "none.txt").write_bytes(content)
        assert run("train", patterns, "--classes", tmp_path / "none.txt").code == 2


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
    assert len(out.read_text().splitlines()) == 30 + (suffix == "csv")


def test_predict_reads_standard_input(model: Path, patterns: Path) -> None:
    content = (patterns / "test" / "dots" / "1000.png").read_bytes()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from foodvision.cli import main; main()",
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
        (lambda t, m, p: ["train", empty(t)], "no class folders with images"),
        (lambda t, m, p: ["train", one_class(t)], "has one class"),
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
        (lambda t, m, p: ["data", "get", "nosuch"], "no dataset is named 'nosuch'"),
        (lambda t, m, p: ["data", "get", "drawn", "--out", m], "is not empty"),
        (lambda t, m, p: ["data", "get", "mini", "--out", m], "is not empty"),
        (lambda t, m, p: ["data", "get", "mini", "--source", t / "nowhere"], "no such folder"),
        (lambda t, m, p: ["data", "get", "mini20", "--source", p], "has no pizza in train"),
        (lambda t, m, p: ["data", "get", "big", "--source", p], "only mini, mini20 can"),
        (lambda t, m, p: ["data", "split", p], "has splits already"),
    ],
)
def test_the_likely_mistakes_are_one_clear_line(
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
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert result.err.startswith("foodvision: ")
    assert result.out == ""


def test_data_get_fetches_and_without_a_network_says_where_to_put_the_file(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for split in ("train", "test"):
            for label in CLASSES:
                file.writestr(f"{split}/{label}/1.jpg", b"x")
                file.writestr(f"{split}/{label}/2.jpg", b"y")
    web = Web(buffer.getvalue())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(food101.RELEASES, "mini20", food101.Release(web.file(), 10**6, 99))
    done = run("data", "get", "mini20")
    assert (done.code, done.out.strip(), done.err) == (0, str(Path("data/mini20")), "")
    assert len(list(Path("data/mini20").glob("*/*/*.jpg"))) == 12
    web.stop()
    failed = run("data", "get", "mini20", "--out", "other/mini")
    assert (failed.code, failed.out, len(failed.err.splitlines())) == (1, "", 1)
    for part in (web.url, "cannot be reached", web.file().digest, "at other/mini.zip"):
        assert part in failed.err


def test_a_fault_of_ours_is_one_line_too_and_debug_shows_it(
    run: Callable[..., Result], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classifier, "describe", lambda self: 1 / 0)
    result = run("info", model)
    assert result.code == 1
    assert result.err.strip() == (
        "foodvision: ZeroDivisionError: division by zero "
        "(a fault of foodvision's; --debug shows where)"
    )
    with pytest.raises(ZeroDivisionError):
        run("info", model, "--debug")


def test_split_command(run: Callable[..., Result], patterns: Path, tmp_path: Path) -> None:
    import shutil

    root = shutil.copytree(patterns / "train", tmp_path / "d")
    result = run("data", "split", root, "--test", "0.2")
    assert result.code == 0, result.err
    assert (root / "split.csv").exists()
    assert "test" in result.out


def test_paper_parity(run: Callable[..., Result]) -> None:
    done = run("paper", "parity", "--network", "vit_ti16", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [(row["family"], row["model"]) for row in rows] == [
        (family, f"vit_ti16 at {size} px")
        for family in ("torchvision", "timm", "transformers", "google")
        for size in (224, 384)
    ]
    for row in rows:
        assert 0 < row["max_abs_diff"] < 1e-5
