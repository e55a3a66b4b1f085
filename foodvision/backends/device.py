"""What a network runs on."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from itertools import islice
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from foodvision.errors import FoodvisionError, ImageError
from foodvision.images import ImageSpec
from foodvision.images.decode import ImageSource
from foodvision.images.transforms import open_pixels, prepare

Device: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]
Precision: TypeAlias = Literal["auto", "bf16", "float32"]


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
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@torch.inference_mode()
def in_batches(
    compute: Callable[[Tensor], Tensor],
    sources: Iterable[ImageSource],
    spec: ImageSpec,
    device: torch.device,
    batch_size: int,
) -> Iterator[np.ndarray | ImageError]:
    """What a network computes of each image, or what is wrong with the image, in their order.

    Images are decoded in threads, two batches ahead of the network and no more: a million of
    them take no more memory than a hundred.

    Args:
        compute: from images (B, C, H, W) to rows (B, D), both on `device`.
        sources: what `open_image` takes.
        spec: how an image is prepared.
        device: of the network.
        batch_size: images at a time.

    Returns:
        float32 of shape (D,) for each.

    """

    def prepared(source: ImageSource) -> Tensor | ImageError:
        try:
            return prepare(open_pixels(source, spec), spec)
        except ImageError as error:
            return error

    remaining = iter(sources)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        window: deque[Future[Tensor | ImageError]] = deque()
        while True:
            ahead = islice(remaining, 2 * batch_size - len(window))
            window.extend([pool.submit(prepared, source) for source in ahead])
            if not window:
                return
            batch = [window.popleft().result() for _ in range(min(batch_size, len(window)))]
            pixels = [x for x in batch if isinstance(x, Tensor)]
            rows: Iterator[np.ndarray] = iter(())
            if pixels:
                rows = iter(compute(torch.stack(pixels).to(device)).float().cpu().numpy())
            yield from (x if isinstance(x, ImageError) else next(rows) for x in batch)


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

    glibc maps every large tensor anew and returns it when it is freed, so that each step of a
    training run has the system clear gigabytes: a tenth of the time on two cores. Other systems'
    allocators are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt:
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
