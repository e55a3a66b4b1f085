from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from foodvision.classifier.torch_classifier import TorchClassifier
from tests.cli.conftest import FAST, Result
from tests.conftest import CLASSES


def test_train_evaluate_and_info(
    run: Callable[..., Result], patterns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "r"
    trained = run("train", patterns, "--out", out, *FAST)
    assert trained.code == 0, trained.err
    assert f"Next: foodvision evaluate {out} {patterns}" in trained.out
    assert "training and" in trained.err  # announced before training

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
    assert "1 epoch, seed 0" in information.out
    assert "dots, stripes, waves" in information.out


def test_train_on_some_classes_and_a_share(
    run: Callable[..., Result], patterns: Path, tmp_path: Path
) -> None:
    (tmp_path / "classes.txt").write_text(f"{CLASSES[2]}\n\n {CLASSES[0]} \n")
    some = ["--classes", tmp_path / "classes.txt", "--fraction", 0.5]
    assert run("train", patterns, *FAST, *some, "--out", tmp_path / "a").code == 0
    assert set(TorchClassifier.load(tmp_path / "a").classes) == {CLASSES[0], CLASSES[2]}
    none = ["--exclude-classes", f"{CLASSES[0]}, {CLASSES[1]}"]
    failed = run("train", patterns, *FAST, *none, "--out", tmp_path / "b")
    assert failed.code == 1
    assert "fewer than two classes: waves" in failed.err
    assert run("train", patterns, "--classes", tmp_path / "none.txt").code == 2
    for content in (b"\n \n", b"\xff\xfe\x00"):
        (tmp_path / "none.txt").write_bytes(content)
        assert run("train", patterns, "--classes", tmp_path / "none.txt").code == 2
    os.mkfifo(tmp_path / "fifo")
    refused = run("train", patterns, "--classes", tmp_path / "fifo")
    assert refused.code == 2
    assert "not a regular file" in refused.err
