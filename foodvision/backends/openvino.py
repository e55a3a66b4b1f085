"""Graphs on OpenVINO."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.backends.graph import RESIZED, Graph, joined

# Converters that nothing here uses: their import takes a tenth of a second, and reports each use
# of OpenVINO to Google Analytics. `openvino` does without them where they cannot be imported.
sys.modules["openvino.tools.ovc"] = None  # type: ignore[assignment]
try:
    import openvino
    from openvino.opset15 import parameter
finally:
    del sys.modules["openvino.tools.ovc"]

# The first call makes OpenVINO's table of NumPy types. Two threads that made it at the same time
# waited for each other: one held the table's lock, the other the interpreter's.
_ = openvino.Tensor(np.zeros(1, np.float32)).data

# One for all, and for ever: the CPU plug-in gives the thread that loads it a stack for signal
# handlers, and frees it with the last Core. If another thread did so, the next signal was fatal.
CORE = openvino.Core()

HAS_BF16 = "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
"""Whether the processor multiplies bf16."""


def open_openvino(path: Path, precision: str, threads: int) -> Graph:
    """Open a graph of `foodvision.export`; see `foodvision.backends.runs.open_graph`."""
    compute = compiled(path, precision, threads)

    def run(image: np.ndarray) -> np.ndarray:
        found = compute(image)
        return joined(found["logits"], found.get("distance"))

    return run


def compiled(
    path: Path, precision: str, threads: int
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """A graph as a function from its input to its outputs by name.

    Several threads may call it. What it returns holds until the same thread calls it again.

    Resizing and the rest are compiled apart, the former always in float32: images that are resized
    in bf16 differ by grey levels. What it returns are whole numbers up to 255, which bf16 has.

    Args:
        path: of either kind of graph.
        precision: ``float32`` or ``bf16``; with ``int8``, what is not in int8 is in bf16 where the
            processor has it.
        threads: that share the work of one call; 1 where several are made at once.

    """
    reduced = precision == "bf16" or (precision == "int8" and HAS_BF16)
    properties: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY" if threads > 1 else "THROUGHPUT",
        **({"INFERENCE_NUM_THREADS": threads} if threads > 1 else {}),
    }
    preprocessing, network = (
        CORE.compile_model(part, "CPU", properties | {"INFERENCE_PRECISION_HINT": hint})
        for part, hint in zip(_split(path), ("f32", "bf16" if reduced else "f32"), strict=True)
    )
    names = [output.get_any_name() for output in network.outputs]
    local = threading.local()

    def compute(x: np.ndarray) -> dict[str, np.ndarray]:
        if not hasattr(local, "requests"):  # a request serves one thread
            local.requests = preprocessing.create_infer_request(), network.create_infer_request()
        first, second = local.requests
        first.infer([x])
        second.infer([first.get_output_tensor()])
        return {name: second.get_output_tensor(i).data for i, name in enumerate(names)}

    return compute


def _split(path: Path) -> tuple[openvino.Model, openvino.Model]:
    """The graph up to the resized images, and the rest."""
    model = CORE.read_model(path)
    outputs = (output for op in model.get_ordered_ops() for output in op.outputs())
    resized = next((output for output in outputs if RESIZED in output.get_names()), None)
    if resized is None:
        raise ValueError("nothing in it is named resized; export the model again")
    entry = parameter(resized.get_partial_shape(), resized.get_element_type())
    for target in resized.get_target_inputs():
        target.replace_source_output(entry.output(0))
    preprocessing = openvino.Model([resized], model.get_parameters(), "preprocessing")
    return preprocessing, openvino.Model(model.get_results(), [entry], "network")
