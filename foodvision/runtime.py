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
