"""A run does not depend on the state of its Python process, and leaves that state unchanged."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from foodvision.training.run import train
from tests.training.test_resume import sha256
from tests.training.test_run import FAST

SHORT = FAST | {"epochs": 1, "num_layers": 1}


@pytest.fixture(scope="module")
def plain(patterns: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(patterns, out=tmp_path_factory.mktemp("plain") / "r", device="cpu", **SHORT).folder


@pytest.fixture(autouse=True)
def no_state() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)


def test_a_run_on_the_cpu_does_not_fix_the_device_of_the_next(
    patterns: Path, tmp_path: Path
) -> None:
    """Accelerate keeps the first device of a process: a run on the GPU would stay on the CPU."""
    train(patterns, out=tmp_path / "r", device="cpu", **SHORT)
    assert not PartialState._shared_state
    assert not AcceleratorState._shared_state


def test_a_users_own_accelerator_has_no_effect_and_stays_unchanged(
    plain: Path, patterns: Path, tmp_path: Path
) -> None:
    users = Accelerator(mixed_precision="bf16", gradient_accumulation_steps=3, cpu=True)
    train(patterns, out=tmp_path / "r", device="cpu", **SHORT)
    assert sha256(tmp_path / "r") == sha256(plain)
    assert users.mixed_precision == "bf16"
    assert users.state.mixed_precision == "bf16"
    assert users.gradient_accumulation_steps == 3


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_that_the_caller_turned_off(
    context: type, plain: Path, patterns: Path, tmp_path: Path
) -> None:
    with context():
        result = train(patterns, out=tmp_path / "r", device="cpu", **SHORT)
        assert not torch.is_grad_enabled()
    assert sha256(result.folder) == sha256(plain)


def test_an_autocast_of_the_caller(plain: Path, patterns: Path, tmp_path: Path) -> None:
    """Its cache of cast weights would outlive the steps that change them."""
    half = SHORT | {"precision": "bf16"}
    train(patterns, out=tmp_path / "bf16", device="cpu", **half)
    with torch.autocast("cpu", torch.bfloat16):
        result = train(patterns, out=tmp_path / "r", device="cpu", **SHORT)
        train(patterns, out=tmp_path / "bf16 too", device="cpu", **half)
        assert torch.is_autocast_enabled("cpu")
        image = patterns / "test" / "dots" / "1000.png"
        answer = result.classifier.predict(image).probabilities
    assert sha256(result.folder) == sha256(plain)
    assert sha256(tmp_path / "bf16 too") == sha256(tmp_path / "bf16")
    assert answer == result.classifier.predict(image).probabilities


def test_runs_of_several_threads(plain: Path, patterns: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        runs = [
            pool.submit(train, patterns, out=tmp_path / name, device="cpu", **SHORT)
            for name in "abc"
        ]
    assert {sha256(run.result().folder) for run in runs} == {sha256(plain)}


def test_a_default_dtype_of_float64(plain: Path, patterns: Path, tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        result = train(patterns, out=tmp_path / "r", device="cpu", **SHORT)
        assert torch.get_default_dtype() == torch.float64
        image = patterns / "test" / "dots" / "1000.png"
        answer = result.classifier.predict(image).probabilities
    finally:
        torch.set_default_dtype(torch.float32)
    assert sha256(result.folder) == sha256(plain)
    assert answer == result.classifier.predict(image).probabilities


def test_after_transformers_has_loaded_a_model(plain: Path, patterns: Path, tmp_path: Path) -> None:
    """In a separate process: transformers changes torch's functions permanently."""
    script = f"""
import sys, timm
from transformers import ViTForImageClassification, pipeline
ViTForImageClassification.from_pretrained({str(plain)!r})
pipeline("image-classification", model={str(plain)!r})
from foodvision.training.run import train
train({str(patterns)!r}, out={str(tmp_path / "r")!r}, device="cpu", **{SHORT!r})
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert sha256(tmp_path / "r") == sha256(plain)
