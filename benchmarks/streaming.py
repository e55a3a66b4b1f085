"""One epoch on Parquet files: streamed, and read as files on a disk are.

    .venv/bin/python -m benchmarks.streaming FOLDER [--workers N]

Each way is a process of its own, with an empty cache. Printed are the most memory that it took
(resident, with its mapped files; worker processes are not in it), the training images per second of
the epoch alone, the seconds of the whole command, and the ratios. The network is so small that
reading and decoding take most of the time. FOLDER has train-*.parquet, such as Food-101 at 64
pixels; without a validation split, the two ways carve other images, and not as many.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = {
    **{"epochs": 1, "batch_size": 256, "precision": "float32", "network": "vit_ti"},
    **{"num_layers": 1, "hidden_size": 48, "patch_size": 16, "image_size": 64},
}


def measure(data: str, workers: int) -> dict[str, float]:
    """Train one epoch, and return what it took."""
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary, "run")
        settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
        command = [sys.executable, "-m", "foodvision", "train", data, "--out", run, *settings]
        environment = os.environ | {"HF_HOME": temporary, "HF_HUB_OFFLINE": "1"}
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--device", "cpu", f"--set=num_workers={workers}"],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{data}: training failed")
        (epoch,) = map(json.loads, (run / "history.jsonl").read_text("utf-8").splitlines())
        return {
            "peak MB": used.ru_maxrss / 1024,
            "images/s": epoch["images_per_second"],
            "seconds": time.perf_counter() - started,
        }


def main() -> None:
    """Print a line for each way, and one for the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    folder = given.folder.resolve()
    ways = {"streamed": f"file://{folder}", "from disk": str(folder)}
    found = {name: measure(data, given.workers) for name, data in ways.items()}
    ratios = {key: value / found["from disk"][key] for key, value in found["streamed"].items()}
    for name, figures in [*found.items(), ("ratio", ratios)]:
        shown = ", ".join(
            f"{key} {value:,.2f}" if name == "ratio" else f"{key} {value:,.0f}"
            for key, value in figures.items()
        )
        print(f"{name}: {shown}")


if __name__ == "__main__":
    main()
