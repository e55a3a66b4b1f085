"""From a finished run to a new run with more epochs, in a folder beside it.

The new run begins with everything the finished one ended with: weights, averages, optimiser state,
best model and history. From then on it is a run like any other, and resumes bit for bit. Its epochs
have the learning rates that they have in a run of the new length, so it is not equal to such a run,
whose first epochs have these learning rates too.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil

from foodvision.data import SPLIT_CSV
from foodvision.errors import FoodvisionError, RecipeError
from foodvision.files.atomic import cannot_write, new_folder, write_json
from foodvision.files.read import check_regular, parse_json, read_text
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import (
    CHECKPOINTS,
    HISTORY,
    MODEL,
    RECIPE,
    RunFolder,
)
from foodvision.weights.repository import UNSURE


def extension_of(finished: RunFolder, epochs: int) -> RunFolder:
    """The folder of the new run: RUN-20-epochs for RUN, and for RUN-10-epochs.

    Raises:
        RecipeError: if the run stopped early, and would do so again.

    """
    if patience := finished.recipe().patience:
        losses = _log_losses(finished)
        if len(losses) - 1 - losses.index(min(losses)) >= patience:
            raise RecipeError(
                f"{finished.path}: stopped after epoch {len(losses)}, because patience = "
                f"{patience} epochs brought no better model; start a new run with another --out"
            )
    path = finished.path.resolve() if finished.path.name in ("", "..") else finished.path
    name = re.sub(r"-\d+-epochs$", "", path.name)
    return RunFolder(path.with_name(f"{name}-{epochs}-epochs"))


def extend(finished: RunFolder, folder: RunFolder, recipe: Recipe) -> None:
    """Begin the new run; the finished one is not changed.

    Args:
        finished: its last checkpoint, best model and splits are copied.
        folder: of the new run.
        recipe: the settings of the finished run, with more epochs.

    Raises:
        FoodvisionError: if the folder is not free, or a file cannot be read or written.

    """
    folder.check_free()
    begun, last = finished.begun(), finished.checkpoints.newest()
    if last is None:
        raise FoodvisionError(f"{finished.path}: has no checkpoint to continue from")
    for name in (*MODEL, SPLIT_CSV):
        if not (finished.path / name).is_file():
            raise FoodvisionError(f"{finished.path}: has no {name}, and cannot be extended")
    try:
        with check_regular(last).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with new_folder(folder.path) as path:
            (path / CHECKPOINTS).mkdir()
            shutil.copyfile(last, path / CHECKPOINTS / last.name)
            for name in (*MODEL, SPLIT_CSV, UNSURE):
                if (finished.path / name).exists():  # a run from before calibration has no UNSURE
                    shutil.copyfile(finished.path / name, path / name)
            before = {
                "run": finished.path.resolve().name,
                "epochs": begun["recipe"]["epochs"],
                "checkpoint": digest,
            }
            record = {"recipe": recipe.model_dump(mode="json"), "extends": before}
            write_json(path / RECIPE, begun | record)
    except OSError as error:
        raise FoodvisionError(cannot_write(folder.path, error)) from error
    folder.made = True


def _log_losses(run: RunFolder) -> list[float]:
    """The validation log loss of each epoch, at least one; infinite where it was not a number."""
    path = run.path / HISTORY
    try:
        losses = [parse_json(line)["log_loss"] for line in read_text(path).splitlines()]
        if not losses:
            raise ValueError("it has no epoch")
        return [math.inf if loss is None else float(loss) for loss in losses]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FoodvisionError(f"{path}: is damaged ({error})") from error
