"""A graph with products of 8-bit integers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float

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
    loss of 0.04 to 0.18; its dynamic one is as fast as this for a ViT, and of no use for a CNN.

    Args:
        model: ONNX's or OpenVINO's, with its weights.
        images: to find the ranges by; of values in 0-255.
        transformer: whether the network is one: outliers in its activations are then smoothed
            (SmoothQuant, arXiv 2211.10438), and softmax and normalisation left alone.

    """
    kept = nncf.IgnoredScope(patterns=["preprocessing/.*", "head/.*", "unsure/.*"], validate=False)
    with quietly():
        return nncf.quantize(
            model,
            nncf.Dataset([{"pixel_values": image} for image in images]),
            subset_size=len(images),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            ignored_scope=kept,
        )
