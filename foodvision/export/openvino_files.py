"""The same graphs in OpenVINO's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
from onnx import ModelProto
from openvino.preprocess import PrePostProcessor

from foodvision.backends.openvino import CORE
from foodvision.backends.runs import KINDS, Kind, graph_file


def to_openvino(whole: ModelProto) -> openvino.Model:
    """OpenVINO's model of an ONNX graph with its weights."""
    return CORE.read_model(whole.SerializeToString())


def save_openvino(whole: openvino.Model, folder: Path, run: str) -> None:
    """Write both graphs, each with its weights: the format has no way to share them.

    Raises:
        OSError: if a file cannot be written.

    """
    for kind in KINDS:
        path = graph_file(folder, run, kind)
        path.parent.mkdir(exist_ok=True)
        openvino.save_model(_split(whole, kind), path, compress_to_fp16=False)


def _split(whole: openvino.Model, kind: Kind) -> openvino.Model:
    model = whole.clone()
    results: Any = model.get_results()
    names = [result.input_value(0).get_any_name() for result in results]
    if kind == "model":
        wanted = [names.index("logits")]
    else:
        wanted = [i for i, name in enumerate(names) if name != "logits"]
        wanted.append(names.index("logits"))
    model = openvino.Model([results[i] for i in wanted], model.get_parameters(), kind)
    if kind == "image":
        steps = PrePostProcessor(model)
        steps.input().tensor().set_element_type(openvino.Type.u8)
        steps.input().tensor().set_layout(openvino.Layout("NHWC"))
        steps.input().tensor().set_shape(openvino.PartialShape([1, -1, -1, 3]))
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        model = steps.build()
        model.input().get_tensor().set_names({"image"})
    return model
