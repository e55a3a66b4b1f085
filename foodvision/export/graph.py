"""A classifier as one ONNX graph, and the two that people use.

It is exported once. `split` cuts it into two graphs with the same weights, which lie in one file
beside them:

- model: ``pixel_values`` float32 (N, 3, H, W), values 0-255, to ``logits`` (N, K);
- image: ``image`` uint8 RGB (1, H, W, 3) to ``probabilities`` (1, K), ``distance`` (1,) if the
  classifier says when it is not sure, and ``logits`` (1, K).

Both take images of any size; those of one batch have the same.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import onnx_ir
import torch
from jaxtyping import Float
from onnx import ModelProto, TensorProto, helper
from onnx.utils import Extractor
from torch import Tensor, nn

from foodvision.backends.graph import RESIZED
from foodvision.backends.runs import Kind
from foodvision.export.preprocessing import Preprocessing
from foodvision.export.quiet import quietly

if TYPE_CHECKING:
    from foodvision.classifier.torch_classifier import TorchClassifier

OPSET = 18
"""At least 17: below it, LayerNorm in half precision overflows on WebGPU."""


class _Whole(nn.Module):
    """Everything a classifier computes, from pixels on."""

    def __init__(self, classifier: TorchClassifier) -> None:
        super().__init__()
        self.preprocessing = Preprocessing(classifier.spec)
        self.network, self.unsure = classifier.network, classifier.unsure

    def forward(self, pixel_values: Float[Tensor, "B 3 h w"]) -> tuple[Tensor, ...]:
        features = self.network.features(self.preprocessing(pixel_values))
        logits = self.network.classify(features)
        outputs = logits, logits.softmax(dim=1)
        return (*outputs, self.unsure(features, logits)) if self.unsure else outputs


def to_onnx(classifier: TorchClassifier, metadata: dict[str, str]) -> ModelProto:
    """The whole graph, from ``pixel_values`` to logits, probabilities and perhaps distance.

    Args:
        classifier: on the CPU.
        metadata: what the graph says of itself.

    Returns:
        A model in memory, with its weights.

    """
    whole = _Whole(classifier).eval()
    names = ["logits", "probabilities", "distance"][: 3 if classifier.unsure else 2]
    any_size = {0: "batch", 2: "height", 3: "width"}
    with quietly(), torch.no_grad():
        # A batch of 2, or its size would be fixed; sides that no network has, likewise.
        program = torch.onnx.export(
            whole,
            (torch.rand(2, 3, 331, 457),),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["pixel_values"],
            output_names=names,
            dynamic_shapes=(dict.fromkeys(any_size, torch.export.Dim.AUTO),),
        )
    assert program is not None
    for traced in program.model.graph:
        traced.name = f"{_part(traced)}/{traced.name}"
    _name_resized(program.model.graph)
    model = program.model_proto
    for axis, name in any_size.items():
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    for node in model.graph.node:
        del node.metadata_props[:]  # they hold the source's lines and its place on this machine
    for value in (*model.graph.value_info, *model.graph.initializer, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.input[0].metadata_props[:], model.graph.metadata_props[:]
    del model.metadata_props[:]
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    return model


def _part(node: onnx_ir.Node) -> str:
    """``preprocessing``, ``network``, ``unsure``, or ``head`` for what belongs to no module."""
    modules = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
    return modules[1].partition(".")[0] if len(modules) > 2 else "head"


def _name_resized(graph: onnx_ir.Graph) -> None:
    """Name the images before they are normalised, so that backends find the place.

    Normalising is no such place: OpenVINO makes it a part of a convolution's weights.
    """
    parts = {node: str(node.name).partition("/")[0] for node in graph}
    (normalised,) = {
        value
        for node, part in parts.items()
        for value in node.inputs
        if value is not None
        and part == "network"
        and parts.get(value.producer()) == "preprocessing"  # type: ignore[arg-type]
    }
    resized = normalised
    for operator in ("Div", "Sub"):
        node = resized.producer()
        assert node is not None
        assert node.op_type == operator
        assert node.inputs[0] is not None
        resized = node.inputs[0]
    resized.name = RESIZED
    for node in parts:
        # The network takes the number of images from the graph's input: a second way around.
        shape = node.op_type == "Shape" and node.inputs[0] is graph.inputs[0]
        if shape and node.attributes["start"].as_int() == 0:
            node.replace_input_with(0, resized)
    graph.sort()


def split(whole: ModelProto, kind: Kind, batch: int | str = 1) -> ModelProto:
    """The graph of one kind, with the weights that it needs.

    Args:
        whole: see `to_onnx`; not changed.
        kind: see above.
        batch: of ``image``: the number of images, or a name for any number.

    """
    outputs = [output.name for output in whole.graph.output]
    wanted = ["logits"] if kind == "model" else [*outputs[1:], "logits"]
    model = Extractor(whole).extract_model(["pixel_values"], wanted)
    model.metadata_props.extend(whole.metadata_props)
    if kind == "image":
        graph = model.graph
        shape = [batch, "height", "width", 3]
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, shape)
        graph.input.remove(graph.input[0])
        graph.input.append(image)
        channels = helper.make_node("Transpose", ["image"], ["channels"], perm=[0, 3, 1, 2])
        cast = helper.make_node("Cast", ["channels"], ["pixel_values"], to=TensorProto.FLOAT)
        for node in (cast, channels):
            graph.node.insert(0, node)
    return model
