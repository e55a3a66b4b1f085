"""Which run of an export is the fastest on this machine: timed once, then remembered."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foodvision.backends.graph import Graph
from foodvision.backends.runs import PACKAGES, THREADS, is_installed, open_graph
from foodvision.errors import FoodvisionError, MissingExtraError
from foodvision.files.atomic import cache_folder, replacing

log = logging.getLogger(__name__)

ROUNDS = 3
"""Images by which runs are timed."""


def open_fastest(folder: Path, about: bytes, runs: Sequence[str]) -> tuple[str, Graph]:
    """The fastest run that is installed, on this machine.

    Args:
        folder: of the export.
        about: what tells this export from others: its config.json.
        runs: of the export, as in ``openvino/int8``.

    Raises:
        MissingExtraError: if none is installed.
        ModelError: as `open_graph` does.

    """
    possible = [run for run in runs if is_installed(run)]
    if not possible:
        raise MissingExtraError("this exported model", "export")
    if len(possible) == 1:
        return possible[0], open_graph(folder, possible[0], THREADS)
    key, remembered = _key(about, possible), ""
    with suppress(OSError, UnicodeDecodeError, FoodvisionError):
        remembered = _note(key).read_text(encoding="utf-8")
    if remembered in possible:
        log.info("running %s, the fastest here", remembered)
        return remembered, open_graph(folder, remembered, THREADS)
    graphs = {run: open_graph(folder, run, THREADS) for run in possible}
    seconds = {run: seconds_of(graph) for run, graph in graphs.items()}
    fastest = min(seconds, key=seconds.__getitem__)
    log.info(
        "running %s, the fastest here: %s",
        fastest,
        ", ".join(f"{run} {1000 * took:.1f} ms" for run, took in seconds.items()),
    )
    with suppress(OSError, FoodvisionError):  # then they are timed again next time
        note = _note(key)
        note.parent.mkdir(parents=True, exist_ok=True)
        with replacing(note) as temporary:
            temporary.write_text(fastest, encoding="utf-8")
    return fastest, graphs[fastest]


def seconds_of(graph: Graph) -> float:
    """The shortest time for an image, of a few."""
    image: UInt8[np.ndarray, "1 h w 3"] = np.full((1, 384, 512, 3), 128, np.uint8)
    graph(image)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        graph(image)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _note(key: str) -> Path:
    """The file that remembers a run."""
    return cache_folder() / "fastest" / f"{key}.txt"


def _key(about: bytes, possible: Sequence[str]) -> str:
    """Changes with the export, the machine and the runtimes."""
    packages = {PACKAGES[run.partition("/")[0]] for run in possible}
    here = [platform.node(), platform.machine(), THREADS, *sorted(map(version, packages))]
    known = json.dumps([hashlib.sha256(about).hexdigest(), list(possible), here])
    return hashlib.sha256(known.encode()).hexdigest()[:32]
