"""The history of a run, also in TensorBoard or Weights & Biases, through Accelerate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from accelerate import Accelerator

from foodvision.errors import FoodvisionError
from foodvision.training.epoch import Epoch
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import RunFolder

Track: TypeAlias = Callable[[Epoch], None]


@contextmanager
def start_trackers(accelerator: Accelerator, recipe: Recipe, folder: RunFolder) -> Iterator[Track]:
    """Give a function that logs an epoch to the recipe's trackers; leaving the `with` closes them.

    TensorBoard's files are in the run's folder, under ``foodvision``; those of Weights & Biases
    under ``wandb``, and on its servers unless WANDB_MODE says otherwise. A resumed run continues
    the same record.

    Raises:
        FoodvisionError: if a tracker cannot be started.

    """
    if not recipe.trackers:
        yield lambda epoch: None
        return
    settings = {key: value for key, value in recipe.model_dump().items() if key != "trackers"}
    # TensorBoard takes only numbers, booleans and text: lists and None become text.
    plain = {
        key: value if isinstance(value, int | float | str) else json.dumps(value)
        for key, value in settings.items()
    }
    path = folder.path
    wandb = {"dir": str(path), "name": path.name, "id": folder.identity, "resume": "allow"}
    try:
        accelerator.init_trackers("foodvision", plain, {"wandb": wandb})
    except Exception as error:
        raise FoodvisionError(
            f"trackers {', '.join(recipe.trackers)}: {' '.join(str(error).split())}; fix that, or "
            f"run {folder.same_command} and --set trackers=[]"
        ) from error

    def track(epoch: Epoch) -> None:
        accelerator.log(epoch.to_dict(), step=epoch.step)

    try:
        yield track
    finally:
        # Not end_training, which also ends the other processes.
        for tracker in accelerator.trackers:
            tracker.finish()
