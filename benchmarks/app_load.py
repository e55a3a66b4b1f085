"""The app under load, beside the course's app: images/s, waiting times, lost requests, memory.

    .venv/bin/python -m benchmarks.app_load STATE_DICT MODEL PHOTOS [--requests 2000] [--turns 4]

STATE_DICT is torchvision's vit_b_16 as a .pth file; MODEL a classifier that was trained from it, or
its export. The course's app (a `gr.Interface` around torchvision's network and transforms, in
float32) and `foodvision app MODEL` run in processes of their own, on all cores. In turns, 32
clients here (on the same cores) send photographs to one of them, while the other is idle: each
request uploads a file, asks for a prediction, and waits for its answer, as Gradio's documentation
of HTTP requests says. Memory is the resident set size after each turn.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

CLIENTS, START_SECONDS, ANSWER_SECONDS = 32, 300, 600

COURSE = """
import sys
from timeit import default_timer as timer

import gradio as gr
import torch
import torchvision

network = torchvision.models.vit_b_16()
network.load_state_dict(torch.load(sys.argv[1], weights_only=True))
network.heads = torch.nn.Linear(768, 3)
network.eval()
transform = torchvision.models.ViT_B_16_Weights.DEFAULT.transforms()

def predict(image):
    start = timer()
    with torch.inference_mode():
        shares = network(transform(image)[None]).softmax(dim=1)[0]
    return dict(zip(["pizza", "steak", "sushi"], shares.tolist())), round(timer() - start, 5)

gr.Interface(
    predict,
    gr.Image(type="pil"),
    [gr.Label(num_top_classes=3), gr.Number()],
    api_name="predict",
).launch(server_port=int(sys.argv[2]))
"""


class Turn(NamedTuple):
    """One turn of one app."""

    images_per_second: float
    seconds: list[float]
    lost: int
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state_dict", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--requests", type=int, default=2000, help="of each app, in all turns")
    parser.add_argument("--turns", type=int, default=4)
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.rglob("*.jpg"))
    ports = free_port(), free_port()
    commands = {
        "the course's app": [sys.executable, "-c", COURSE, arguments.state_dict, ports[0]],
        "foodvision": [
            *(sys.executable, "-m", "foodvision", "app", arguments.model),
            *("--port", ports[1], "--no-browser"),
        ],
    }
    turns: dict[str, list[Turn]] = {name: [] for name in commands}
    each = arguments.requests // arguments.turns
    with running(*commands.values(), ports=ports) as processes:
        for turn in range(arguments.turns):
            sent = [photos[(turn * each + i) % len(photos)] for i in range(each)]
            for name, port, process in zip(commands, ports, processes, strict=True):
                turns[name].append(load(f"http://127.0.0.1:{port}/gradio_api", sent, process.pid))
                print(f"{name}, turn {turn + 1}: {describe([turns[name][-1]])}", flush=True)
    print(f"\nall turns, {CLIENTS} clients:")
    for name, done in turns.items():
        print(f"  {name}: {describe(done)}")
    course, ours = (median_rate(done) for done in turns.values())
    print(f"foodvision answers {ours / course:.2f} times as many images per second")
    assert not any(turn.lost for done in turns.values() for turn in done)


def load(address: str, photos: Sequence[Path], process: int) -> Turn:
    started = time.perf_counter()
    with httpx.Client(timeout=ANSWER_SECONDS, limits=httpx.Limits(max_connections=None)) as client:

        def send(photo: Path) -> float | None:
            before = time.perf_counter()
            try:
                ask(client, address, photo)
            except (httpx.HTTPError, ValueError) as error:
                print(f"lost: {error!r}", file=sys.stderr)
                return None
            return time.perf_counter() - before

        with ThreadPoolExecutor(CLIENTS) as pool:
            waits = list(pool.map(send, photos))
    seconds = [wait for wait in waits if wait is not None]
    rate = len(seconds) / (time.perf_counter() - started)
    return Turn(rate, seconds, len(waits) - len(seconds), resident_megabytes(process))


def ask(client: httpx.Client, address: str, photo: Path) -> None:
    """Raise a ValueError unless the answer has a label."""
    with photo.open("rb") as file:
        (path,) = client.post(f"{address}/upload", files={"files": file}).raise_for_status().json()
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    asked = client.post(f"{address}/call/predict", json={"data": [image]}).raise_for_status()
    event = asked.json()["event_id"]
    answer = client.get(f"{address}/call/predict/{event}").raise_for_status().text
    if "event: complete" not in answer:
        raise ValueError(answer)
    if "label" not in json.loads(answer.rpartition("data: ")[2])[0]:
        raise ValueError(answer)


def resident_megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def median_rate(turns: Sequence[Turn]) -> float:
    return statistics.median(turn.images_per_second for turn in turns)


def describe(turns: Sequence[Turn]) -> str:
    seconds = [second for turn in turns for second in turn.seconds]
    p50, p95 = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    memory = ", ".join(f"{turn.megabytes:.0f}" for turn in turns)
    lost = sum(turn.lost for turn in turns)
    return (
        f"{median_rate(turns):.2f} images/s, p50 {p50:.2f} s, p95 {p95:.2f} s, "
        f"{lost} of {lost + len(seconds)} lost, {memory} MiB"
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def running(
    *commands: Sequence[object], ports: Sequence[int]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the apps, and wait until each answers."""
    quiet = {
        "stdout": subprocess.DEVNULL,
        "env": os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"},
    }
    processes = [subprocess.Popen([*map(str, command)], **quiet) for command in commands]  # type: ignore[call-overload]
    try:
        begun = time.perf_counter()
        for port, process in zip(ports, processes, strict=True):
            while not answers(port):
                if process.poll() is not None or time.perf_counter() > begun + START_SECONDS:
                    raise RuntimeError("an app did not start")
                time.sleep(0.2)
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/config", timeout=5).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
