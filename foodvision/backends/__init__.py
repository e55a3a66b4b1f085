"""What a network runs on. Naming a device or a precision needs no torch; using one does."""

from typing import Literal, TypeAlias

Device: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]
Precision: TypeAlias = Literal["auto", "bf16", "float32"]

__all__ = ["Device", "Precision"]
