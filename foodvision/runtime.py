"""What a network runs on."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

from foodvision.errors import FoodvisionError

Device: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]


def choose_device(name: str = "auto") -> torch.device:
    """The device of this name; ``auto`` is the fastest there is.

    Raises:
        FoodvisionError: if the machine has no such device.

    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available.get(name):
        found = ", ".join(kind for kind, there in available.items() if there)
        raise FoodvisionError(f"--device {name}: not on this machine, which has {found}")
    return torch.device(name)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 products run faster than float32 there, and are not merely emulated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return False
