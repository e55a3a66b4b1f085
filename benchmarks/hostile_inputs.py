"""Hostile images, models, recipes, datasets and uploads: what each is, and what foodvision says.

    .venv/bin/python -m benchmarks.hostile_inputs

One process per input, as a user would start it, except that all uploads go to one running app.
Prints a Markdown table; exits with 1 if any input hangs (over 30 s), takes over 1 GiB of resident
memory, or ends in a traceback or a "bug in foodvision".
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

SECONDS, BYTES = 30, 1 << 30
PORT = 7999

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
UPLOADS = {
    "text called .jpg": "text.jpg",
    "JPEG, second half missing": "truncated.jpg",
    "13,000 × 13,000 PNG": "bomb.png",
    "PNG whose ICC profile unpacks to 500 MB": "profile.png",
    "PNG that claims 2³¹ pixels a side": "endless.png",
    "SVG that includes a file": "vector.svg",
    "HEIC header, then noise": "garbage.heic",
    "empty file": "empty.jpg",
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
    print("| | input | exit | said | s | MiB |\n|---|---|---|---|---|---|")
    for kind, what, code, said, seconds, size in rows:
        print(f"| {kind} | {what} | {code} | {said} | {seconds:.1f} | {size / 2**20:.0f} |")
    hung = sum(seconds > SECONDS for *_, seconds, _ in rows)
    large = sum(size > BYTES for *_, size in rows)
    crashed = sum("Traceback" in row[3] or "bug in foodvision" in row[3] for row in rows)
    print(
        f"\n{len(rows)} inputs: {hung} hang, {large} take over 1 GiB, {crashed} end in a traceback"
        f"{', CODE WAS RUN' if ran_code else ''}"
    )
    return 1 if hung or large or crashed or ran_code else 0


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


def uploads(root: Path) -> list[tuple[str, str, object, str, float, int]]:
    """What the app answers, and its peak memory so far."""
    words = ["app", "models/good", "--no-browser", "--port", str(PORT), "--device", "cpu"]
    rows = []
    with (root / "app.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "foodvision", *words],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(Path.cwd()), "GRADIO_ANALYTICS_ENABLED": "False"},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for_app()
            for what, name in UPLOADS.items():
                rows.append(("upload", what, *upload(process.pid, root / "images" / name)))
            rows.append(
                ("upload", "path /etc/passwd, not uploaded", *ask(process.pid, "/etc/passwd"))
            )
            (root / "images" / "large.jpg").write_bytes(bytes(60_000_000))
            rows.append(
                ("upload", "60 MB of zeros", *upload(process.pid, root / "images" / "large.jpg"))
            )
            rows.append(
                (
                    "upload",
                    "a good image, after these",
                    *upload(process.pid, root / "images/good.jpg"),
                )
            )
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)
    if "Traceback" in (log := (root / "app.log").read_text()):
        rows.append(("upload", "the app's log", 0, "Traceback: " + log.splitlines()[-1], 0.0, 0))
    for row in rows:
        print(*row[:4], sep=" · ", file=sys.stderr)
    return rows


def wait_for_app() -> None:
    for _ in range(SECONDS * 4):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5).read()
            return
        except OSError:
            time.sleep(0.25)
    raise SystemExit("the app did not start")


def upload(pid: int, path: Path) -> tuple[object, str, float, int]:
    mark = "----foodvision"
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
    )
    body = head.encode() + path.read_bytes() + f"\r\n--{mark}--\r\n".encode()
    content_type = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    started = time.monotonic()
    try:
        (stored,) = json.loads(post("upload", body, content_type))
    except urllib.error.HTTPError as error:
        said = error.read().decode()[:200]
        return error.code, said, time.monotonic() - started, peak(pid)
    except urllib.error.URLError as error:  # refused while it is still being sent
        return "-", str(error.reason), time.monotonic() - started, peak(pid)
    return ask(pid, stored)


def ask(pid: int, path: str) -> tuple[object, str, float, int]:
    started = time.monotonic()
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    try:
        json_type = {"Content-Type": "application/json"}
        event = json.loads(post("call/predict", json.dumps(data).encode(), json_type))["event_id"]
        address = f"http://127.0.0.1:{PORT}/gradio_api/call/predict/{event}"
        answer = urllib.request.urlopen(address, timeout=SECONDS + 1).read().decode()
        code, said = 200, " ".join(re.findall(r"^(?:event|data): (.*)$", answer, re.M))
    except urllib.error.HTTPError as error:
        code, said = error.code, error.read().decode()
    return code, said[:220].replace("|", "\\|"), time.monotonic() - started, peak(pid)


def post(address: str, body: bytes, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/gradio_api/{address}", body, headers)
    content: bytes = urllib.request.urlopen(request, timeout=SECONDS + 1).read()
    return content


def peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    sys.exit(main())
