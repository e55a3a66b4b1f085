"""Exported graphs behind one call: an image's pixels in, its logits and distance out; no torch.

A run is a runtime and a precision, as in ``openvino/int8``. Each runtime is imported only when one
of its graphs is opened. In bf16, OpenVINO runs the graph that is in float32.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from foodvision.backends.graph import Graph
from foodvision.errors import MissingExtraError, ModelError

PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
"""That run the graphs in these folders."""

_ENDINGS = {"onnx": ".onnx", "openvino": ".xml"}

SUFFIXES = {"float32": "", "bf16": "", "int8": "_quantized"}
"""Of the file names of each precision, as transformers.js expects them."""

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""That share the work of one image."""

Kind: TypeAlias = Literal["model", "image"]
KINDS: tuple[Kind, ...] = get_args(Kind)


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
    """Delete the files of a run in float32 or int8."""
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
    runtime, precision = run.split("/")
    try:
        if runtime == "onnx":
            from foodvision.backends.onnx import open_onnx

            return open_onnx(path, threads)
        from foodvision.backends.openvino import open_openvino

        return open_openvino(path, precision, threads)
    except Exception as error:  # each runtime has its own
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path.relative_to(folder)} is damaged ({reason})") from error


def is_installed(run: str) -> bool:
    """Whether the runtime of a run is there."""
    return importlib.util.find_spec(PACKAGES[run.partition("/")[0]]) is not None
