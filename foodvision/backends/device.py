"""Devices and precisions: which there are here, and which are fast."""

from __future__ import annotations

import ctypes
import sys
import time
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch

from foodvision.backends import Precision
from foodvision.errors import FoodvisionError


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


def use_gpu(place: int) -> None:
    """Make a GPU this process's own: of several processes, numbered from 0, each in turn."""
    torch.cuda.set_device(place % torch.cuda.device_count())


@cache
def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 products run faster than float32 there, and are not merely emulated.

    On a CPU it is measured (a tenth of a second): of two processors with AVX-512 bf16 and no AMX,
    one multiplied bf16 six times as fast as float32, the other half as fast.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        if not any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16")):
            return False
        return 1.5 * _seconds_of_product(torch.bfloat16) < _seconds_of_product(torch.float32)
    return False


def decide_precision(precision: Precision, device: torch.device) -> Precision:
    """Replace ``auto`` by what is fast there."""
    if precision != "auto":
        return precision
    return "bf16" if has_fast_bf16(device) else "float32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Run networks in this precision; their heads stay in float32."""
    # Without the cache of cast weights: it is emptied when the outermost autocast ends, so in a
    # caller's own autocast it would keep weights that later steps have changed.
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
    )


def channels_last(network: Any) -> None:
    """Keep the weights of a network's convolutions in the order that they compute fastest in.

    EfficientNet-Lite0 at 128 px on one core: 224 images per second instead of 105 forward in bf16,
    28 instead of 18 in training in float32. A `torch.nn.Module`; linear layers do not change.
    """
    network.to(memory_format=torch.channels_last)


def _seconds_of_product(dtype: torch.dtype) -> float:
    matrix = torch.ones(1024, 1024, dtype=dtype)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def keep_freed_memory() -> None:
    """Let this process reuse freed memory instead of giving it back to the system.

    glibc maps memory for every large tensor and returns it when it is freed, so in each training
    step the system clears gigabytes: a tenth of the time on two cores. The allocators of other
    systems are not changed.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt:
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
