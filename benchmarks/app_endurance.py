"""The app under load for a long time: its memory, and the requests that it lost.

    .venv/bin/python -m benchmarks.app_endurance MODEL PHOTOS [--minutes 20] [--workers 1]

Four clients send photographs to `foodvision app MODEL`, each as soon as its last one is answered.
Memory is the resident set size of the app and its workers together, read once a minute; the first
figure is from after the first minute. Speed says nothing here: clients and app share the cores.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil

from benchmarks.app_load import ANSWER_SECONDS, ask, free_port, resident_megabytes, running

CLIENTS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    photos = itertools.cycle(sorted(arguments.photos.rglob("*.jpg")))
    port = free_port()
    command = [
        *(sys.executable, "-m", "foodvision", "app", arguments.model, "--port", port),
        *("--no-browser", "--workers", arguments.workers),
    ]
    answered, lost = itertools.count(), itertools.count()
    ended, lock = threading.Event(), threading.Lock()

    def send() -> None:
        with httpx.Client(timeout=ANSWER_SECONDS) as client:
            while not ended.is_set():
                with lock:
                    photo = next(photos)
                try:
                    ask(client, f"http://127.0.0.1:{port}/gradio_api", photo)
                    next(answered)
                except (httpx.HTTPError, ValueError) as error:
                    next(lost)
                    print(f"lost: {error!r}", file=sys.stderr)

    with running(command, ports=[port]) as (process,):
        clients = [threading.Thread(target=send) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for minute in range(1, arguments.minutes + 1):
            time.sleep(60)
            print(f"minute {minute}: {memory(process.pid):.0f} MiB", flush=True)
        ended.set()
        for client in clients:
            client.join()
    failed = next(lost)
    print(f"{next(answered):,} answered, {failed} lost")
    assert not failed


def memory(process: int) -> float:
    """MiB of a process and all that it started."""
    started = [child.pid for child in psutil.Process(process).children(recursive=True)]
    return sum(resident_megabytes(each) for each in (process, *started))


if __name__ == "__main__":
    main()
