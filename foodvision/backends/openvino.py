"""Graphs on OpenVINO."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import openvino

from foodvision.backends.graph import Graph, joined

# The first call makes OpenVINO's table of NumPy types. Two threads that made it at the same time
# waited for each other: one held the table's lock, the other the interpreter's.
_ = openvino.Tensor(np.zeros(1, np.float32)).data

# One for all, and for ever: the CPU plug-in gives the thread that loads it a stack for signal
# handlers, and frees it with the last Core. If another thread did so, the next signal was fatal.
CORE = openvino.Core()


def open_openvino(path: Path, threads: int) -> Graph:
    """Open a graph of `foodvision.export`; see `foodvision.backends.runs.open_graph`."""
    properties = {
        # Where bf16 is fast, it is the default: then images would be resized in bf16 too.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY" if threads > 1 else "THROUGHPUT",
    }
    if threads > 1:
        properties["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = CORE.compile_model(path, "CPU", properties)
    names = {name for output in compiled.outputs for name in output.names}
    local = threading.local()

    def run(image: np.ndarray) -> np.ndarray:
        if not hasattr(local, "request"):  # a request serves one thread
            local.request = compiled.create_infer_request()
        local.request.infer({"image": image})
        distance = local.request.get_tensor("distance").data if "distance" in names else None
        return joined(local.request.get_tensor("logits").data, distance)

    return run
