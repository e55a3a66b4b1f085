"""ONNX graphs on disk."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto
from onnx.external_data_helper import set_external_data

from foodvision.backends.runs import KINDS, graph_file, weights_file
from foodvision.export.graph import split
from foodvision.files.atomic import replacing

MIN_BYTES = 1024
"""Smaller tensors stay in the graph."""


def save_onnx(whole: ModelProto, folder: Path, run: str) -> None:
    """Write both graphs, and their weights once.

    Args:
        whole: see `foodvision.export.graph.to_onnx`; its large tensors are emptied.
        folder: of the export.
        run: ``onnx/float32`` or ``onnx/int8``.

    Raises:
        OSError: if a file cannot be written.

    """
    path = weights_file(graph_file(folder, run, "model"))
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        for tensor in whole.graph.initializer:
            if len(tensor.raw_data) >= MIN_BYTES:
                file.seek(-file.tell() % 64, 1)  # so that the file can be mapped into memory
                offset = file.tell()
                file.write(tensor.raw_data)
                set_external_data(tensor, path.name, offset, len(tensor.raw_data))
                tensor.ClearField("raw_data")
    for kind in KINDS:
        with replacing(graph_file(folder, run, kind)) as temporary:
            temporary.write_bytes(split(whole, kind).SerializeToString())
