"""A full-size run, killed with SIGKILL at seven moments and resumed, equals the uninterrupted run.

    .venv/bin/python -m benchmarks.kill_and_resume DATA [setting=value ...]

The recipe is `scratch` with two workers, shortened to three epochs. Each killed run is resumed
twice, with two workers and with none. The SHA-256 of the final model.safetensors must equal that of
the uninterrupted run. The moments are the six of tests/training/test_resume.py and a random one.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from foodvision.training.settings import load_recipe
from tests.training.test_resume import KILL, MOMENTS, sha256

SETTINGS = {"epochs": 3, "num_workers": 2}


def train(out: Path, data: str, *words: str) -> None:
    run = [sys.executable, "-m", "foodvision", "train", data]
    subprocess.run([*run, "--out", str(out), *words], check=True, capture_output=True)


def main(data: str, *changes: str) -> None:
    """Print one line per resumed run; exit with 1 if any result differs."""
    settings = SETTINGS | dict(change.split("=", 1) for change in changes)
    recipe = load_recipe("scratch", settings)
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    equal = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        started = time.monotonic()
        train(folder / "whole", data, *words)
        seconds = time.monotonic() - started
        expected = sha256(folder / "whole")
        print(f"uninterrupted: {expected}", flush=True)
        for moment in (*MOMENTS, "at random"):
            killed = folder / "killed"
            given = [moment, data, str(killed), repr(recipe.model_dump())]
            process = subprocess.Popen([sys.executable, "-c", KILL, *given])
            if moment == "at random":
                while not (killed / "recipe.json").exists():
                    time.sleep(0.1)
                time.sleep(random.uniform(0, seconds / 2))
                process.kill()
            code = process.wait()
            for workers in (2, 0):
                out = folder / f"resumed with {workers}"
                shutil.copytree(killed, out)
                train(out, data, "--resume", "--set", f"num_workers={workers}")
                found = sha256(out)
                equal &= found == expected and code == -signal.SIGKILL
                same = "equal" if found == expected else f"DIFFERS: {found}"
                print(f"{moment} (exit {code}), {workers} workers: {same}", flush=True)
                shutil.rmtree(out)
            shutil.rmtree(killed)
    sys.exit(not equal)


if __name__ == "__main__":
    main(*sys.argv[1:])
