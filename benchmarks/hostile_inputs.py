"""Hostile images, models, recipes, datasets and uploads: what each is, and what foodvision says.

    .venv/bin/python -m benchmarks.hostile_inputs

One process per input, as a user would start it, except that all uploads go to one running app.
Prints a Markdown table; exits with 1 if any input hangs (over 30 s), takes over 1 GiB of resident
memory, or ends in a traceback or a "bug in foodvision".
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.hostile_uploads import SECONDS, print_table, uploads

BYTES = 1 << 30

PREDICT = "predict {} --model models/good"
INFO = "predict images/good.jpg --model models/{}"
TRAIN = (
    "train {} --device cpu --out runs/{} --set image_size=32 --set num_layers=1 --set epochs=1 "
    "--set batch_size=4"
)
PROBE = "train data/good --device cpu --recipe probe --weights weights/{}"
CASES: dict[str, dict[str, str]] = {
    "image": {
        "empty file": PREDICT.format("images/empty.jpg"),
        "JPEG, second half missing": PREDICT.format("images/truncated.jpg"),
        "text called .jpg": PREDICT.format("images/text.jpg"),
        "HTML called .png": PREDICT.format("images/page.png"),
        "13,000 × 13,000 PNG": PREDICT.format("images/bomb.png"),
        "10,000 × 9,900 PNG, RGBA, 16 bit": PREDICT.format("images/sixteen-bit.png"),
        "PNG that claims 2³¹ pixels a side": PREDICT.format("images/endless.png"),
        "PNG, 1 × 1,000,000": PREDICT.format("images/thin.png"),
        "PNG whose ICC profile unpacks to 500 MB": PREDICT.format("images/profile.png"),
        "PNG whose comment unpacks to 500 MB": PREDICT.format("images/comment.png"),
        "GIF that claims 65,535 × 65,535": PREDICT.format("images/claims.gif"),
        "GIF of 3,000 frames": PREDICT.format("images/frames.gif"),
        "JPEG that claims 65,500 × 65,500": PREDICT.format("images/claims.jpg"),
        "9,000 × 9,000 lossless WebP": PREDICT.format("images/big.webp"),
        "TIFF of 32-bit floats": PREDICT.format("images/float.tiff"),
        "SVG that includes a file": PREDICT.format("images/vector.svg"),
        "HEIC header, then noise": PREDICT.format("images/garbage.heic"),
        "FIFO": PREDICT.format("images/fifo.jpg"),
        "link to /dev/zero": PREDICT.format("images/device.jpg"),
        "folder called .jpg": PREDICT.format("images/folder.jpg"),
        "name that is not UTF-8, with an escape": PREDICT.format("images/caf*.jpg"),
        "ZIP called .jpg": PREDICT.format("images/archive.jpg"),
        "URL with a space, nobody there": PREDICT.format("http://127.0.0.1:9/a%b.jpg"),
        "URL file:///etc/passwd": PREDICT.format("file:///etc/passwd"),
        "empty input": PREDICT.format("%e"),
        "a folder of all of these": PREDICT.format("images"),
    },
    "model": {
        "no config.json": INFO.format("no-config"),
        "config.json: a FIFO": INFO.format("fifo"),
        "config.json: a million [": INFO.format("nested"),
        "config.json: a list": INFO.format("list"),
        "config.json: NaN": INFO.format("nan"),
        "num_hidden_layers: 1e9": INFO.format("layers"),
        "hidden_size: 3e9": INFO.format("width"),
        'hidden_size: "many"': INFO.format("size-text"),
        "patch_size: -8": INFO.format("patch"),
        "id2label: one name twice": INFO.format("duplicates"),
        "id2label: 0, 1, 7": INFO.format("numbers"),
        "id2label: a list": INFO.format("labels-list"),
        "model_type: llama": INFO.format("llama"),
        '"foodvision": a string': INFO.format("meta-text"),
        "timm's, architecture os.system": INFO.format("timm"),
        "size: 1e7 pixels": INFO.format("resize"),
        "image_std: 0": INFO.format("std"),
        "weights: last 1,000 bytes missing": INFO.format("truncated"),
        "weights: header of 2⁶⁰ bytes": INFO.format("header"),
        "weights: link to /dev/zero": INFO.format("device"),
        "weights: a pickle that runs code": INFO.format("pickle"),
        "weights: one NaN": INFO.format("nan-weights"),
        "weights: one infinity": INFO.format("inf-weights"),
        "class names: escape, formula, <img>": INFO.format("names"),
        "--weights: a .pth that runs code": PROBE.format("code.pth"),
        "--weights: an .npz that unpacks to 8 GB": PROBE.format("bomb.npz"),
        "--weights: a FIFO": PROBE.format("fifo.pth"),
        "--weights: of another network": PROBE.format("cnn.safetensors"),
    },
    "recipe": {
        "nested 100,000 deep": TRAIN.format("data/good", 5) + " --recipe recipes/nested.toml",
        "noise": TRAIN.format("data/good", 6) + " --recipe recipes/binary.toml",
        "a FIFO": TRAIN.format("data/good", 7) + " --recipe recipes/fifo.toml",
        "num_workers=1000000": TRAIN.format("data/good", 8) + " --set num_workers=1000000",
        "epochs=1e18": TRAIN.format("data/good", 9) + " --set epochs=1000000000000000000",
        "image_size=1e8": TRAIN.format("data/good", 10) + " --set image_size=100000000",
        "num_layers=1e9": TRAIN.format("data/good", 11) + " --set num_layers=1000000000",
        "learning_rate=inf": TRAIN.format("data/good", 12) + " --set learning_rate=inf",
        "learning_rate=1e30": TRAIN.format("data/good", 13) + " --set learning_rate=1e30",
    },
    "dataset": {
        "a FIFO in a class folder": TRAIN.format("data/fifo", 14),
        "a link that loops": TRAIN.format("data/loop", 15),
        "a link to /dev/zero": TRAIN.format("data/device", 16),
        "class names: escape, formula": TRAIN.format("data/names", 17),
        "two 13,000 × 13,000 PNG": TRAIN.format("data/bombs", 18),
        "an empty folder": TRAIN.format("data/empty", 19),
        "split.csv: noise with NUL": TRAIN.format("data/split", 20),
        "split.csv: a cell of 10 MB": TRAIN.format("data/field", 21),
        "labels.csv that leaves its folder": TRAIN.format("data/outside", 22),
        "Parquet rows with path /etc/passwd": TRAIN.format("data/passwd", 23),
        "Parquet rows that are null": TRAIN.format("data/nothing", 24),
        "Parquet, last 20 bytes missing": TRAIN.format("data/truncated", 25),
        "hub:../../etc": TRAIN.format("hub:../../etc", 26),
    },
}


def main() -> int:
    """Run every case; returns the exit status."""
    root = Path(tempfile.mkdtemp(prefix="foodvision-hostile-"))
    try:
        make = [sys.executable, "-m", "benchmarks.hostile_files", str(root)]
        subprocess.run(make, check=True)
        rows = [*commands(root), *uploads(root)]
        ran_code = any(root.rglob("pickled-code-ran"))
    finally:
        shutil.rmtree(root)
    print_table(rows)
    was_read = any(row[3].startswith("READ: ") for row in rows)
    hung = sum(seconds > SECONDS for *_, seconds, _ in rows)
    large = sum(size > BYTES for *_, size in rows)
    crashed = sum("Traceback" in row[3] or "bug in foodvision" in row[3] for row in rows)
    print(
        f"\n{len(rows)} inputs: {hung} hang, {large} take over 1 GiB, {crashed} end in a traceback"
        f"{', CODE WAS RUN' if ran_code else ''}{', A FILE WAS READ' if was_read else ''}"
    )
    return 1 if hung or large or crashed or ran_code or was_read else 0


def commands(root: Path) -> list[tuple[str, str, object, str, float, int]]:
    rows = []
    for kind, cases in CASES.items():
        for what, command in cases.items():
            words = [w.replace("%b", " b").replace("%e", "") for w in command.split()]
            rows.append((kind, what, *run(root, words)))
            print(*rows[-1][:4], sep=" · ", file=sys.stderr)
    return rows


def run(root: Path, words: list[str]) -> tuple[object, str, float, int]:
    """Exit status, last line said, seconds and peak resident bytes of one command."""
    if "*" in words[1]:
        words[1] = os.fsdecode(next(root.glob(words[1])).relative_to(root))
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "foodvision", *words],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(Path.cwd()), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        timer = threading.Timer(SECONDS + 1, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    seconds = time.monotonic() - started
    return process.returncode, shown(text, root), seconds, usage.ru_maxrss * 1024


def shown(text: str, root: Path) -> str:
    """The last line, or that there is a traceback; as it is but for the folder and long lines."""
    lines = [line for line in text.replace(str(root), "…").splitlines() if line.strip()]
    if not lines:
        return ""
    traced = "Traceback: " if any(line.startswith("Traceback") for line in lines) else ""
    line = lines[-1].replace("|", "\\|").replace("<", "&lt;").replace("\x1b", "RAW-ESCAPE ")
    return traced + (line if len(line) <= 220 else line[:217] + "…")


if __name__ == "__main__":
    sys.exit(main())
