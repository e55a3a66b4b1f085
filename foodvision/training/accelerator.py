"""The devices and processes of one run, whatever else this Python process has done before.

Accelerate and torch keep some settings per process: the first `Accelerator` decides the device and
precision of all later ones, and a caller may have turned gradients off or changed the default
dtype. A run has its own, and leaves the caller's as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from foodvision.errors import RecipeError
from foodvision.training.recipe import Recipe


@contextmanager
def run_accelerator(device: torch.device, recipe: Recipe, folder: Path) -> Iterator[Accelerator]:
    """Give the `Accelerator` of a run: with gradients, in float32 unless autocast says otherwise.

    Raises:
        RecipeError: if the batch cannot be divided among the processes.

    """
    shared = [state._shared_state for state in (AcceleratorState, PartialState, GradientState)]
    before, dtype = [dict(state) for state in shared], torch.get_default_dtype()
    for state in shared:
        state.clear()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            accelerator = Accelerator(
                cpu=device.type == "cpu",
                gradient_accumulation_steps=recipe.accumulate,
                log_with=list(recipe.trackers) or None,
                project_dir=folder,
                # `accelerate launch` may say otherwise; autocast is the loop's.
                mixed_precision="no",
            )
            if recipe.batch_size % accelerator.num_processes:
                raise RecipeError(
                    f"batch_size = {recipe.batch_size}: make it a multiple of the "
                    f"{accelerator.num_processes} processes, which share each batch"
                )
            yield accelerator
    finally:
        torch.set_default_dtype(dtype)
        for state, content in zip(shared, before, strict=True):
            state.clear()
            state.update(content)
