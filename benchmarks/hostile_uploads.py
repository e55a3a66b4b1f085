"""Hostile uploads to one running app: what each is, and what the app answers.

    .venv/bin/python -m benchmarks.hostile_uploads

Prints a Markdown table. A path that was not uploaded is refused by Gradio itself, which shows the
visitor no reason and logs a traceback. Exits with 1 if a file outside the app's folder was written
or read, or if the app does not answer a good image in the end.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

SECONDS, START_SECONDS = 30, 120
PORT = 7999

Result = tuple[str, str, object, str, float, int]
"""Kind, what, status, what was said, seconds, peak resident bytes."""

UPLOADS = {
    "text called .jpg": "text.jpg",
    "JPEG, second half missing": "truncated.jpg",
    "13,000 × 13,000 PNG": "bomb.png",
    "PNG whose ICC profile unpacks to 500 MB": "profile.png",
    "PNG that claims 2³¹ pixels a side": "endless.png",
    "SVG that includes a file": "vector.svg",
    "HEIC header, then noise": "garbage.heic",
    "empty file": "empty.jpg",
    "1 × 2,000,000 PNG": "thinner.png",
    "10,000 × 9,900 PNG, RGBA, 16 bit": "sixteen-bit.png",
    "SVG with a script": "script.svg",
    "HTML with a script, called .png": "page.png",
    "ZIP called .jpg": "archive.jpg",
    "50 MB of noise": "noise.jpg",
    "60 MB of zeros": "large.jpg",
}
NAMES = ("../../evil.jpg", "..\\..\\evil.jpg", "/evil.jpg", "evil\0.jpg", "é" * 300 + ".jpg", ".")
"""Under which a good image is uploaded."""
PRIVATE = (
    "/etc/passwd",
    "{root}/models/good/config.json",
    "../../../../etc/passwd",
    "/proc/self/environ",
)
"""What a visitor may not read."""


def main() -> int:
    """Send everything; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="foodvision-hostile-") as name:
        make = [sys.executable, "-m", "benchmarks.hostile_files", name]
        subprocess.run(make, check=True)
        rows = uploads(Path(name))
    print_table(rows)
    was_read = any(row[3].startswith("READ: ") for row in rows)
    return 1 if was_read or "complete" not in rows[-1][3] else 0


def print_table(rows: Sequence[Result]) -> None:
    print("| | input | exit | said | s | MiB |\n|---|---|---|---|---|---|")
    for kind, what, code, said, seconds, size in rows:
        print(f"| {kind} | {what} | {code} | {said} | {seconds:.1f} | {size / 2**20:.0f} |")


def uploads(root: Path) -> list[Result]:
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
            good = root / "images" / "good.jpg"
            for name in NAMES:
                told = f"a good image called {name[:20]!r}"
                rows.append(("upload", told, *upload(process.pid, good, name)))
            for path in PRIVATE:
                path = path.format(root=root)
                told = f"path {path.replace(str(root), '…')}, not uploaded"
                rows.append(("upload", told, *ask(process.pid, path)))
                rows.append(("download", told, *download(process.pid, path)))
            inline = "data:image/jpeg;base64," + "0" * 300_000_000
            rows.append(("request", "300 MB within it", *ask(process.pid, "", inline)))
            rows.append(("upload", "a good image, after these", *upload(process.pid, good)))
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)
    for place in (root, root.parent, Path("/")):
        assert not list(place.glob("*evil*")), place
    for row in rows:
        print(*row[:4], sep=" · ", file=sys.stderr)
    return rows


def wait_for_app() -> None:
    for _ in range(4 * START_SECONDS):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5).read()
            return
        except OSError:
            time.sleep(0.25)
    raise SystemExit("the app did not start")


def upload(pid: int, path: Path, name: str = "") -> tuple[object, str, float, int]:
    mark = "----foodvision"
    described = f'form-data; name="files"; filename="{name or path.name}"'
    head = f"--{mark}\r\nContent-Disposition: {described}\r\n\r\n"
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


def ask(pid: int, path: str, url: str | None = None) -> tuple[object, str, float, int]:
    started = time.monotonic()
    data = {"data": [{"path": path, "url": url, "meta": {"_type": "gradio.FileData"}}]}
    try:
        json_type = {"Content-Type": "application/json"}
        event = json.loads(post("call/predict", json.dumps(data).encode(), json_type))["event_id"]
        address = f"http://127.0.0.1:{PORT}/gradio_api/call/predict/{event}"
        answer = urllib.request.urlopen(address, timeout=SECONDS + 1).read().decode()
        code, said = 200, " ".join(re.findall(r"^(?:event|data): (.*)$", answer, re.M))
    except urllib.error.HTTPError as error:
        code, said = error.code, error.read().decode()
    except urllib.error.URLError as error:  # refused while it is still being sent
        code, said = "-", str(error.reason)
    return code, said[:220].replace("|", "\\|"), time.monotonic() - started, peak(pid)


def download(pid: int, path: str) -> tuple[object, str, float, int]:
    started = time.monotonic()
    address = f"http://127.0.0.1:{PORT}/gradio_api/file={urllib.parse.quote(path)}"
    try:
        code, said = (
            200,
            "READ: " + urllib.request.urlopen(address, timeout=SECONDS).read().decode(),
        )
    except urllib.error.HTTPError as error:
        code, said = error.code, error.read().decode()
    except urllib.error.URLError as error:  # refused while it is still being sent
        code, said = "-", str(error.reason)
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
