"""What a network runs on. Naming a precision needs no torch; using one does."""

from enum import StrEnum
from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["auto", "bf16", "float32"]


class Format(StrEnum):
    """Of an export; the graphs of the first two run here."""

    onnx = "onnx"
    openvino = "openvino"
    triton = "triton"
