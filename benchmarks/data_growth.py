"""Training time and memory as the dataset grows: time should be linear, memory bounded.

    .venv/bin/python benchmarks/data_growth.py PARQUET_FOLDER [setting=value ...]

For each size, one epoch of recipe `scratch` runs in its own process, on evenly spaced training
rows of the folder. Peak memory is the process's resident set, libraries included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import datasets

SIZES = (1_000, 10_000, 93_304)


def main(folder: str, *settings: str) -> None:
    """Print one line per size."""
    rows = datasets.load_dataset("parquet", data_files=f"{folder}/train-*.parquet", split="train")
    changes = [word for setting in ("epochs=1", *settings) for word in ("--set", setting)]
    for size in SIZES:
        with tempfile.TemporaryDirectory() as temporary:
            chosen = rows.select(range(0, len(rows), len(rows) // size)).select(range(size))
            chosen.to_parquet(f"{temporary}/train-00000-of-00001.parquet")
            run = [sys.executable, "-m", "foodvision", "train"]
            started = time.perf_counter()
            process = subprocess.Popen([*run, temporary, "--out", f"{temporary}/run", *changes])
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            if status:
                sys.exit(f"training on {size:,} images failed")
            epoch = json.loads(Path(f"{temporary}/run/history.jsonl").read_text().splitlines()[0])
            peak = usage.ru_maxrss / 2**20
            print(
                f"{size:,} images: total {seconds:.1f} s, epoch {epoch['seconds']:.1f} s, "
                f"{epoch['images_per_second']:.0f} images/s, peak {peak:.2f} GiB",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
