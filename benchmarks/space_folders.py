"""The folders of Spaces: megabytes, a cold start, memory, seconds an image, and the same answers.

    .venv/bin/python -m benchmarks.space_folders MODEL --data FOLDER [--images 40] [--targets cpu]
        [--what caption]

`foodvision deploy MODEL --target T --dry-run` writes each folder. Of the Gradio ones:

- `uv pip compile` resolves requirements.txt for Python 3.12 together with what the build of a Space
  adds (gradio[oauth,mcp], uvicorn, websockets, spaces); for `cpu`, without torch among them.
- A new virtual environment is made from requirements.txt alone, in a folder where nothing else is,
  as on a Space. Then app.py is started in the Space's folder: seconds until it answers a request.
- `gradio_client` sends photographs one by one. The memory is the peak of the resident set size. The
  largest difference from the probabilities of `foodvision predict` must be at most 1e-3; captions
  must be those of `foodvision caption`.

The environment is of this Python, the folder's own source is what runs, and nothing is downloaded
from the Hub.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from gradio_client import Client, handle_file

MAX_DIFFERENCE, START_SECONDS = 1e-3, 300

PLATFORM = ("gradio[oauth,mcp]=={}", "uvicorn>=0.14.0", "websockets>=10.4", "spaces")
"""What the build of a Space adds to requirements.txt."""


def main() -> None:
    arguments = parse()
    photographs = choose(arguments.data, arguments.images)
    what: str = arguments.what
    expected = expected_answers(what, arguments.model, photographs)
    with tempfile.TemporaryDirectory(prefix="spaces-") as name:
        for target in arguments.targets:
            folder = deploy(what, arguments.model, target, Path(name), arguments.vendor)
            if folder and target != "static":
                resolve(folder, what, target, arguments.uv)
                python = install(folder, Path(name) / f"{target}-environment", arguments.uv)
                measure(what, folder, python, photographs, expected)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="photographs, in any subfolders")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--targets", nargs="+", default=["static", "zerogpu", "cpu"])
    parser.add_argument("--what", choices=["classify", "caption"], default="classify")
    parser.add_argument("--vendor", type=Path, help="for static: where onnxruntime-web is")
    parser.add_argument("--uv", default=shutil.which("uv") or ".uv/bin/uv")
    arguments = parser.parse_args()
    arguments.uv = str(Path(arguments.uv).resolve())
    return arguments


def choose(data: Path, count: int) -> list[Path]:
    every = sorted(data.rglob("*.jpg"))
    return every[:: max(1, len(every) // count)][:count]


def foodvision(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "foodvision", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def expected_answers(what: str, model: Path, photographs: Sequence[Path]) -> dict[Path, Any]:
    """Probabilities by class, or a caption, of each photograph, from the command line."""
    command = {"classify": "predict", "caption": "caption"}[what]
    done = foodvision(command, *photographs, "--model", model, "--json", "--device", "cpu")
    key = {"classify": "probabilities", "caption": "caption"}[what]
    return {Path(row["path"]): row[key] for row in json.loads(done.stdout)}


def deploy(what: str, model: Path, target: str, work: Path, vendor: Path | None) -> Path | None:
    out = work / target
    words = [
        "deploy",
        model,
        "--what",
        what,
        "--target",
        target,
        "--out",
        out,
        "--dry-run",
        "--zip",
    ]
    if vendor and target == "static":
        words += ["--vendor", vendor]
    started = time.perf_counter()
    done = foodvision(*words)
    if done.returncode:
        print(f"{target}: refused: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return None
    seconds = time.perf_counter() - started
    folder, archive = num_bytes(out), out.with_name(f"{target}.zip").stat().st_size
    print(
        f"{target}: folder {folder / 1e6:.1f} MB, zip {archive / 1e6:.1f} MB, model "
        f"{num_bytes(out / 'model') / 1e6:.1f} MB; written and checked in {seconds:.0f} s",
        flush=True,
    )
    return out


def num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def resolve(folder: Path, what: str, target: str, uv: str) -> None:
    header = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    lines = [*own_lines(folder), *(line.format(header["sdk_version"]) for line in PLATFORM)]
    version = ["--python-version", header["python_version"]]
    system = ["--python-platform", "x86_64-manylinux_2_28"]
    done = subprocess.run(
        [uv, "pip", "compile", "-q", "--no-header", "--no-annotate", *version, *system, "-"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    resolved = done.stdout.splitlines()
    torch = [line for line in resolved if re.match(r"(torch|torchvision|nvidia|triton)\b", line)]
    print(f"{target}: {len(resolved)} packages resolve for Python 3.12, of torch: {len(torch)}")
    assert (what, target) != ("classify", "cpu") or not torch, torch


def own_lines(folder: Path) -> list[str]:
    """Without the line of an index: registries differ between machines."""
    lines = (folder / "requirements.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("--")]


def install(folder: Path, environment: Path, uv: str) -> Path:
    """Install where only requirements.txt is."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as alone:
        (Path(alone) / "requirements.txt").write_text("\n".join(own_lines(folder)))
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, environment], check=True)
        python = environment / "bin/python"
        words = [
            "pip",
            "install",
            "-q",
            "--compile-bytecode",
            "--python",
            python,
            "-r",
            "requirements.txt",
        ]
        subprocess.run([uv, *words], cwd=alone, check=True)
    seconds, size = time.perf_counter() - started, num_bytes(environment)
    print(f"  installed in {seconds:.0f} s, {size / 1e6:.0f} MB", flush=True)
    return python


def measure(
    what: str,
    folder: Path,
    python: Path,
    photographs: Sequence[Path],
    expected: dict[Path, Any],
) -> None:
    with started(folder, python) as (address, process, seconds):
        client = Client(address, verbose=False)
        times, difference = [], 0.0
        for photograph in photographs:
            before = time.perf_counter()
            given = handle_file(photograph)
            found, *_ = client.predict(
                given, api_name={"classify": "/predict"}.get(what, "/caption")
            )
            times.append(time.perf_counter() - before)
            difference = max(difference, difference_of(found, expected[photograph]))
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
        print(
            f"  cold start {seconds:.1f} s, peak memory {peak:.0f} MiB, "
            f"{statistics.median(times):.3f} s an image (median of {len(times)} through "
            f"gradio_client), largest difference {difference:.1e}",
            flush=True,
        )
        assert difference <= MAX_DIFFERENCE
        if "/explain" in client.view_api(print_info=False, return_format="dict")["named_endpoints"]:
            _, said = client.predict(handle_file(photographs[0]), api_name="/explain")
            print(f"  /explain: {said}", flush=True)


def difference_of(found: Any, wanted: Any) -> float:
    """The largest of a probability; of a caption, 1 unless it is the same."""
    if isinstance(wanted, str):
        return float(found != wanted)
    return max(abs(wanted[row["label"]] - row["confidence"]) for row in found["confidences"])


@contextmanager
def started(folder: Path, python: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], float]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    settings = {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    before = time.perf_counter()
    with (folder.parent / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [python, "app.py"], cwd=folder, env=inherited | settings, stdout=log, stderr=log
        )
    try:
        while not answers(f"{address}/config"):
            if time.perf_counter() - before > START_SECONDS or process.poll() is not None:
                raise RuntimeError((folder.parent / "log.txt").read_text())
            time.sleep(0.05)
        yield address, process, time.perf_counter() - before
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
