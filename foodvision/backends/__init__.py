"""What a network runs on. Naming a precision needs no torch; using one does."""

from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["auto", "bf16", "float32"]
