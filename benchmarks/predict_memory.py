"""Peak memory of `foodvision predict` for 100,000 images against 1,000, and resuming after kill -9.

    .venv/bin/python -m benchmarks.predict_memory [--few 1000] [--many 100000] [--source folder]

An exported ViT-Ti/8 at 64 px with random weights classifies drawings, JPEGs of 96 px: 300 files,
under as many distinct paths (hard links) as are asked for. The paths are given as a folder, or as a
list on standard input. The memory is the resident set size, summed over all processes of `predict`
and read from /proc every 50 ms. (Not the proportional one: it changes with what else uses the
libraries.)

Then the run is repeated with `--killed` images, killed with SIGKILL at three random moments and
resumed each time; the SHA-256 of its output must equal that of an uninterrupted run (`--killed 0`
leaves this out).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.drawings import draw_image
from foodvision.export.export import export
from foodvision.images.spec import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT

DISTINCT, SIDE, SECONDS, KILLS = 300, 96, 0.05, 3


def write_model(folder: Path) -> None:
    """The export of a ViT-Ti/8 with three classes, as `train --recipe scratch` builds it."""
    config = ViTConfig(
        image_size=64, patch_size=8, num_layers=12, hidden_size=192, mlp_size=768, num_heads=3,
        num_classes=3,
    )  # fmt: skip
    classifier = TorchClassifier(ViT(config), ImageSpec(64), ("pizza", "steak", "sushi"))
    export(classifier, ["openvino"], folder)


def write_images(folder: Path, number: int) -> None:
    """Many paths of few files, 1,000 per folder."""
    originals = folder.with_name("originals")
    originals.mkdir(exist_ok=True)
    for i in range(DISTINCT if not any(originals.iterdir()) else 0):
        drawing = draw_image(("pizza", "steak", "sushi")[i % 3], i)
        drawing.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(originals / f"{i}.jpg")
    for i in range(number):
        path = folder / f"{i // 1000:04}" / f"photograph-{i:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(originals / f"{i % DISTINCT}.jpg", path)


def resident_set_size(process: int) -> int:
    """Bytes of a process and its descendants."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has ended
        return 0
    found = re.search(r"^Rss: +(\d+) kB", rollup, re.MULTILINE)
    own = 1024 * int(found[1]) if found else 0
    return own + sum(resident_set_size(int(child)) for child in children)


def start(images: Path, source: str, model: Path, out: Path, *options: str) -> subprocess.Popen:
    """Begin to predict all images of a folder."""
    given = str(images) if source == "folder" else "-"
    command = [sys.executable, "-m", "foodvision", "predict", given, "--model", str(model)]
    command += ["--device", "cpu", "--out", str(out), *options]
    listed = images.with_suffix(".txt")
    if source == "list" and not listed.exists():
        listed.write_text("\n".join(sorted(map(str, images.rglob("*.jpg")))))
    with listed.open("rb") if source == "list" else open(os.devnull, "rb") as stdin:  # noqa: PTH123
        return subprocess.Popen(command, stdin=stdin, stderr=subprocess.DEVNULL)


def measure(process: subprocess.Popen) -> tuple[int, float]:
    """Peak memory in bytes, and seconds."""
    started, peak = time.monotonic(), 0
    while process.poll() is None:
        peak = max(peak, resident_set_size(process.pid))
        time.sleep(SECONDS)
    assert process.returncode == 0, process.returncode
    return peak, time.monotonic() - started


def sha256(out: Path) -> str:
    files = sorted(out.iterdir()) if out.is_dir() else [out]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--source", choices=("folder", "list"), default="folder")
    parser.add_argument("--killed", type=int, default=20_000)
    parser.add_argument("--out", default="answers.csv", help="answers.csv, .jsonl, or answers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "model")
        peaks = {}
        for number in (arguments.few, arguments.many):
            images = folder / f"{number}"
            write_images(images, number)
            out = folder / f"{number}-{arguments.out}"
            process = start(images, arguments.source, folder / "model", out)
            peaks[number], seconds = measure(process)
            print(
                f"{number:,} paths ({arguments.source}, {arguments.out}): peak "
                f"{peaks[number] / 1e6:.1f} MB, {seconds:.0f} s",
                flush=True,
            )
        ratio = peaks[arguments.many] / peaks[arguments.few]
        print(f"ratio of the peaks: {ratio:.3f}", flush=True)
        if arguments.killed:
            images = folder / "killed"
            write_images(images, arguments.killed)
            whole, out = folder / f"whole-{arguments.out}", folder / arguments.out
            measure(start(images, arguments.source, folder / "model", whole))
            kill_and_resume(images, arguments.source, folder / "model", whole, out)
            same = sha256(out) == sha256(whole)
            print("the resumed output is byte-identical" if same else "the resumed output DIFFERS")
            sys.exit(not same)


def kill_and_resume(images: Path, source: str, model: Path, whole: Path, out: Path) -> None:
    """Write `out` like `whole`, killed when it has a random share of its bytes, again and again."""
    growing = out if whole.is_dir() else out.with_name(f"{out.name}.partial")
    options: list[str] = []
    for share in sorted(random.uniform(0.05, 0.95) for _ in range(KILLS)):
        process = start(images, source, model, out, *options)
        while size(growing) < share * size(whole):
            assert process.poll() is None, process.returncode
            time.sleep(SECONDS)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        print(f"killed at {size(growing) / size(whole):.1%} of the bytes", flush=True)
        options = ["--resume"]
    measure(start(images, source, model, out, *options))


def size(out: Path) -> int:
    """Bytes of a file, or of the files in a folder; 0 if there is none."""
    files = out.glob("part-*") if out.is_dir() else [out]
    return sum(file.stat().st_size for file in files if file.exists())


if __name__ == "__main__":
    main()
