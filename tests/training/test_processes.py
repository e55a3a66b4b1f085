"""Two processes, as on two devices or machines: torch.distributed's gloo on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from foodvision.training.run import train
from tests.training.test_resume import sha256
from tests.training.test_run import FAST

# Augmentation depends on the image alone, so the same batches make the same steps.
SETTINGS = FAST | {"optimizer": "sgd", "learning_rate": 0.1, "clip_norm": 1e9, "ema_decay": 0.9}


def train_in_two_processes(data: Path, out: Path, *words: str) -> str:
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    run += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "--no-python", sys.executable]
    command = ["-m", "foodvision", "train", str(data)]
    command += ["--out", str(out), "--device", "cpu", *words]
    ended = subprocess.run([*run, *command], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_two_processes_split_each_batch(patterns: Path, tmp_path: Path) -> None:
    train(patterns, out=tmp_path / "one", device="cpu", **SETTINGS)
    words = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    train_in_two_processes(patterns, tmp_path / "two", *words)
    one, two = (load_file(tmp_path / run / "model.safetensors") for run in ("one", "two"))
    assert one["classifier.weight"].abs().max() > 1e-3
    torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-3)
    one, two = (
        [json.loads(line) for line in (tmp_path / run / "history.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    )
    for single, double in zip(one, two, strict=True):
        assert abs(single["log_loss"] - double["log_loss"]) < 1e-4  # every image is validated once
        assert abs(single["train_loss"] - double["train_loss"]) < 1e-4
        assert abs(single["train_accuracy"] - double["train_accuracy"]) < 1e-6

    before = sha256(tmp_path / "two")
    max((tmp_path / "two" / "checkpoints").iterdir()).unlink()  # return to the end of epoch 1
    stderr = train_in_two_processes(patterns, tmp_path / "two", "--resume")
    assert "resuming after step 4" in stderr
    assert sha256(tmp_path / "two") == before
