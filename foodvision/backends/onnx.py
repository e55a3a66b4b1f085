"""Graphs on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from foodvision.backends.graph import Graph, joined


def open_onnx(path: Path, threads: int) -> Graph:
    """Open a graph of `foodvision.export`; see `foodvision.backends.runs.open_graph`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs() if output.name != "probabilities"]

    def run(image: np.ndarray) -> np.ndarray:
        found = dict(zip(names, session.run(names, {"image": image}), strict=True))
        return joined(found["logits"], found.get("distance"))

    return run
