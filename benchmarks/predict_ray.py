"""`predict --engine ray` against the embedded engine: seconds, memory, equal rows, and kills.

    .venv/bin/python -m benchmarks.predict_ray [--numbers 1000 10000 100000] [--killed 10000]

Drawings of 96 px (300 files, under as many distinct paths as are asked for) are classified by both
engines, with `--model` or the export of a ViT-Ti/8 with random weights. For each number: start-up
(until the first rows are on disk), then seconds per thousand images, CPU seconds of all processes,
and the peak of their resident memory, which counts a page of Ray's store once for each process that
maps it. The rows of both engines are compared.

Then `--killed` images are predicted by Ray once more. Five times its actor is killed, then the
process that writes; the run is resumed, and its rows are compared too (`--killed 0` leaves this
out). Ray must be installed: uv pip install --python .venv/bin/python -c constraints.txt "ray[data]"
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from benchmarks.predict_memory import resident_set_size, write_images, write_model
from foodvision.classifier.ray_engine import BATCHES

SECONDS, KILLS = 0.1, 5
BLOCK = BATCHES * 32
TICKS = os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """Of a run: seconds until its first rows, and after them; CPU seconds; bytes."""

    startup: float
    seconds: float
    cpu: float
    peak: int


def start(images: Path, model: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "foodvision", "predict", str(images), "--model", str(model)]
    given = [*command, "--device", "cpu", "--out", str(out), *options]
    return subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def check_silence(process: subprocess.Popen[bytes]) -> None:
    """Standard output is for rows: what Ray says of dead workers would be between them."""
    assert process.stdout
    said = process.stdout.read()
    assert not said, said.decode()


def partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def size(out: Path) -> int:
    return next((f.stat().st_size for f in (out, partial(out)) if f.exists()), 0)


def descendants(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has ended
        return []
    return [process, *(own for child in children for own in descendants(int(child)))]


def cpu_seconds(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(process: subprocess.Popen[bytes], out: Path) -> Measured:
    """Watch a run until it ends."""
    started, first, peak = time.monotonic(), 0.0, 0
    cpu: dict[int, float] = {}
    while process.poll() is None:
        peak = max(peak, resident_set_size(process.pid))
        cpu |= {own: cpu_seconds(own) for own in descendants(process.pid)}
        first = first or (size(out) > 1000 and time.monotonic() - started) or 0.0
        time.sleep(SECONDS)
    assert process.returncode == 0, process.returncode
    check_silence(process)
    return Measured(first, time.monotonic() - started - first, sum(cpu.values()), peak)


def compare(one: Path, other: Path) -> str:
    """How two tables differ; the program ends if one lacks a row or has another path or label."""
    number, largest = 0, 0.0
    with one.open(newline="") as first, other.open(newline="") as second:
        for a, b in zip_longest(csv.DictReader(first), csv.DictReader(second)):
            assert None not in (a, b), f"{number:,} rows in one table, more in the other"
            for key in ("path", "label", "sure", "error"):
                assert a[key] == b[key], (key, a, b)
            shares = [key for key in a if key.startswith("p_")]
            largest = max(largest, *(abs(float(a[key]) - float(b[key])) for key in shares))
            number += 1
    return f"{number:,} rows, the same; probabilities differ by {largest:.1e} at most"


def command_of(process: int) -> bytes:
    """Empty if it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def kill_actor(driver: int) -> None:
    """End the one process that computes."""
    while True:
        for process in descendants(driver):
            if b"MapWorker" in command_of(process):
                os.kill(process, signal.SIGKILL)
                return
        time.sleep(SECONDS)


def wait_for(share: float, process: subprocess.Popen[bytes], out: Path, whole: int) -> None:
    while size(out) < share * whole:
        assert process.poll() is None, process.returncode
        time.sleep(SECONDS)


def kill_and_resume(images: Path, model: Path, out: Path, whole: int) -> None:
    process = start(images, model, out, "--engine", "ray")
    for kill in range(KILLS):
        wait_for((kill + 1) / (KILLS + 2), process, out, whole)
        kill_actor(process.pid)
        print(f"actor killed at {size(out) / whole:.0%} of the bytes", flush=True)
    wait_for((KILLS + 1) / (KILLS + 2), process, out, whole)
    family = descendants(process.pid)
    process.kill()
    process.wait()
    print(f"driver killed at {size(out) / whole:.0%} of the bytes", flush=True)
    died = time.monotonic()
    while any(map(command_of, family)):
        assert time.monotonic() < died + 180, "processes of Ray outlive the driver"
        time.sleep(SECONDS)
    print(f"all {len(family)} processes had ended after {time.monotonic() - died:.1f} s")
    check_silence(process)
    measure(start(images, model, out, "--engine", "ray", "--resume"), out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--killed", type=int, default=10_000)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = arguments.model or folder / "model"
        if not arguments.model:
            write_model(model)
        for number in arguments.numbers:
            images = folder / f"{number}"
            write_images(images, number)
            outs = {engine: folder / f"{number}-{engine}.csv" for engine in ("embedded", "ray")}
            took = {}
            for engine, out in outs.items():
                took[engine] = own = measure(start(images, model, out, "--engine", engine), out)
                rest = (number - (BLOCK if engine == "ray" else 0)) / 1000
                print(
                    f"{number:,} images, {engine}: start-up {own.startup:.1f} s, then "
                    f"{own.seconds / rest:.2f} s per thousand; {own.cpu:.0f} s of CPU; "
                    f"peak {own.peak / 1e6:,.0f} MB",
                    flush=True,
                )
            ratio = took["ray"].seconds / took["embedded"].seconds
            print(f"seconds after start-up, ray / embedded: {ratio:.2f}")
            print(compare(*outs.values()), flush=True)
        if arguments.killed:
            images, whole = folder / "killed", folder / "whole.csv"
            write_images(images, arguments.killed)
            measure(start(images, model, whole), whole)
            kill_and_resume(images, model, folder / "killed.csv", whole.stat().st_size)
            print(f"killed and resumed: {compare(whole, folder / 'killed.csv')}")


if __name__ == "__main__":
    main()
