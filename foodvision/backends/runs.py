"""Exported graphs behind one call: an image's pixels in, its logits and distance out; no torch.

A run is a folder and a precision of an export, as in ``openvino/int8``. Each runtime is imported
only when one of its graphs is opened.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import UInt8

from foodvision.backends.graph import Graph
from foodvision.errors import MissingExtraError, ModelError

log = logging.getLogger(__name__)

_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
_ENDINGS = {"onnx": ".onnx", "openvino": ".xml"}

SUFFIXES = {"float32": "", "int8": "_quantized"}
"""Of the file names of each precision, as transformers.js expects them."""

THREADS = os.cpu_count() or 1
"""That share the work of one image."""

Kind: TypeAlias = Literal["model", "image"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ROUNDS = 3
"""Images by which several runs are timed."""


def graph_file(folder: Path, run: str, kind: Kind) -> Path:
    """The file of a graph.

    Args:
        folder: of the export.
        run: as in ``onnx/int8``.
        kind: ``image`` or ``model``, see `foodvision.export.graph`.

    """
    runtime, precision = run.split("/")
    return folder / runtime / f"{kind}{SUFFIXES[precision]}{_ENDINGS[runtime]}"


def weights_file(graph: Path) -> Path:
    """Where the weights of a graph lie."""
    if graph.suffix == ".xml":
        return graph.with_suffix(".bin")
    return graph.with_name(graph.name.replace("image", "model", 1) + "_data")


def remove_graphs(folder: Path, run: str) -> None:
    """Delete the files of a run."""
    for kind in KINDS:
        graph = graph_file(folder, run, kind)
        graph.unlink()
        weights_file(graph).unlink(missing_ok=True)


def open_graph(folder: Path, run: str, threads: int) -> Graph:
    """Open the graph that takes images.

    Args:
        folder: of the export.
        run: as in ``onnx/int8``.
        threads: that share the work of one image; 1 where several images are computed at once.

    Raises:
        MissingExtraError: if its runtime is not installed.
        ModelError: if the file is missing or damaged.

    """
    path = graph_file(folder, run, "image")
    if not path.is_file():
        raise ModelError(f"{path.relative_to(folder)} is missing; export the model again")
    if not is_installed(run):
        raise MissingExtraError("this exported model", "export")
    try:
        if run.startswith("onnx/"):
            from foodvision.backends.onnx import open_onnx

            return open_onnx(path, threads)
        from foodvision.backends.openvino import open_openvino

        return open_openvino(path, threads)
    except Exception as error:  # each runtime has its own
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path.relative_to(folder)} is damaged ({reason})") from error


def is_installed(run: str) -> bool:
    """Whether the runtime of a run is there."""
    return importlib.util.find_spec(_PACKAGES[run.partition("/")[0]]) is not None


def open_fastest(folder: Path, runs: Sequence[str]) -> tuple[str, Graph]:
    """The fastest run that is installed, on this machine; measured if there are several.

    int8 was faster than float32 when it was exported, so that only int8 is tried where it exists.

    Raises:
        MissingExtraError: if none is installed.
        ModelError: as `open_graph` does.

    """
    possible = [run for run in runs if is_installed(run)]
    possible = [run for run in possible if run.endswith("/int8")] or possible
    if not possible:
        raise MissingExtraError("this exported model", "export")
    graphs = {run: open_graph(folder, run, THREADS) for run in possible}
    if len(graphs) == 1:
        return graphs.popitem()
    seconds = {run: seconds_of(graph) for run, graph in graphs.items()}
    fastest = min(seconds, key=seconds.__getitem__)
    log.info(
        "running %s, the fastest here: %s",
        fastest,
        ", ".join(f"{run} {1000 * took:.1f} ms" for run, took in seconds.items()),
    )
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
