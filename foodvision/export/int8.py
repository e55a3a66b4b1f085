"""A graph with products of 8-bit integers.

Weights have 7 bits: with 8, the sum of two products overflows the 16 bits in which processors
without VNNI hold it (docs/results.md, "Seven bits of eight").
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from jaxtyping import Float
from onnxruntime.quantization import QuantType, quantize_dynamic

# Before NNCF, which imports OpenVINO: see there.
import foodvision.backends.openvino  # noqa: F401
from foodvision.export.quiet import quietly

os.environ.setdefault("NNCF_CI", "1")  # or each use is reported to Google Analytics

import nncf

Model = TypeVar("Model")


def quantised(
    model: Model, images: Sequence[Float[np.ndarray, "1 3 h w"]], transformer: bool
) -> Model:
    """The same model in 8-bit integers but for preprocessing, head and distance.

    NNCF finds the range of each activation, one scale for each channel of the weights, and
    corrects the biases. ONNX Runtime's own static quantisation took EfficientNet-Lite0 from a log
    loss of 0.04 to 0.18.

    Args:
        model: ONNX's or OpenVINO's, with its weights.
        images: to find the ranges by; of values in 0-255.
        transformer: whether the network is one: outliers in its activations are then smoothed
            (SmoothQuant, arXiv 2211.10438), and softmax and normalisation left alone.

    """
    kept = nncf.IgnoredScope(patterns=["preprocessing/.*", "head/.*", "unsure/.*"], validate=False)
    seven_bits = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
    with quietly():
        return nncf.quantize(
            model,
            nncf.Dataset([{"pixel_values": image} for image in images]),
            subset_size=len(images),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            ignored_scope=kept,
            advanced_parameters=seven_bits,
        )


def dynamically_quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """A ViT's graph with products of 8-bit integers, for ONNX Runtime: dynamic quantisation.

    The weights are quantised per channel; the range of each activation is that of the image itself,
    found when the graph runs. ONNX Runtime multiplies these faster than the static graphs of NNCF,
    and NNCF needs six gigabytes and more than ten minutes for an ONNX graph of ViT-B/16, this a
    quarter of a minute.

    Args:
        model: with its weights; not changed.

    """
    kept = [node.name for node in model.graph.node if not node.name.startswith("network/")]
    with tempfile.TemporaryDirectory() as folder, quietly():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(path)
