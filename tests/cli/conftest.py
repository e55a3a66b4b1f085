from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from foodvision import cli
from foodvision.classifier.torch_classifier import TorchClassifier

FAST = [
    f"--set={change}"
    for change in ("image_size=32", "num_layers=1", "hidden_size=48", "epochs=1", "batch_size=16")
]


class Result(NamedTuple):
    code: int
    out: str
    err: str


def run_without_torch(*commands: Sequence[str]) -> list[str]:
    """Run commands that fail in one fresh process, without torch; returns their errors."""
    program = (
        "import sys\n"
        "from foodvision.cli import main\n"
        f"for command in {commands!r}:\n"
        "    sys.argv = ['foodvision', *command]\n"
        "    try: main()\n"
        "    except SystemExit as end: print(end.code, end='\\0', file=sys.stderr)\n"
        "    assert 'torch' not in sys.modules, command\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr.split("\0")[:-1]


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
                print(stop.code, file=sys.stderr)  # as the interpreter does at exit
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture
def model(tmp_path: Path, classifier: TorchClassifier) -> Path:
    classifier.save(tmp_path / "model")
    return tmp_path / "model"
