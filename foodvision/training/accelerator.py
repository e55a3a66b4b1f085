"""The devices and processes of one run, whatever else this Python process has done before.

Accelerate and torch keep some settings per process: the first `Accelerator` decides the device and
precision of all later ones, and a caller may have turned gradients off, autocast on, or changed the
default dtype. A run has its own, and leaves the caller's as they were.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from foodvision.training.ranks import PATIENCE
from foodvision.training.recipe import Recipe

_ONE_RUN = threading.Lock()
"""Runs of several threads wait for each other: they would share random generators and state."""


@contextmanager
def run_processes(device: torch.device) -> Iterator[None]:
    """Within `with`, the processes of a run know each other, and are in torch's initial state.

    With gradients, in float32 unless autocast says otherwise.
    """
    with _ONE_RUN, _own_state(device.type):
        PartialState(cpu=device.type == "cpu", timeout=PATIENCE)
        yield


def build_accelerator(device: torch.device, recipe: Recipe, folder: Path) -> Accelerator:
    """The `Accelerator` of a run, within `run_processes`."""
    return Accelerator(
        cpu=device.type == "cpu",
        gradient_accumulation_steps=recipe.accumulate,
        log_with=list(recipe.trackers) or None,
        project_dir=folder,
        mixed_precision="no",  # `accelerate launch` may say otherwise; autocast is the loop's
    )


@contextmanager
def _own_state(device: str) -> Iterator[None]:
    shared = [state._shared_state for state in (AcceleratorState, PartialState, GradientState)]
    before, dtype = [dict(state) for state in shared], torch.get_default_dtype()
    autocast = torch.is_autocast_enabled(device)
    for state in shared:
        state.clear()
    torch.set_default_dtype(torch.float32)
    torch.set_autocast_enabled(device, False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_autocast_enabled(device, autocast)
        torch.set_default_dtype(dtype)
        for state, content in zip(shared, before, strict=True):
            state.clear()
            state.update(content)
