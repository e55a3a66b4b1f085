"""The runs of an experiment: interrupted ones continue, finished ones are left as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foodvision.data import Dataset, training_splits
from foodvision.errors import RecipeError
from foodvision.training.plan import plan_run
from foodvision.training.run import run_plan
from foodvision.training.run_folder import RunFolder
from foodvision.training.start import starting_point


def train_once(
    dataset: Dataset, recipe: str, path: Path, device: str, settings: Mapping[str, Any]
) -> None:
    """Train, continue an interrupted run, or leave a finished one of the same images as it is.

    Raises:
        DataError: if the run in the folder began with other images.
        FoodvisionError: as `foodvision.training.run.train` does, or if the weights are others.
        RecipeError: if the run in the folder has other settings.

    """
    plan = plan_run(settings, dataset, recipe, path, device, resume=RunFolder(path).exists())
    if plan.extends:
        raise RecipeError(f"{path}: is a run of fewer epochs; choose another --out")
    if not plan.folder.finished():
        run_plan(plan)
        return
    run, start = plan.recipe, starting_point(plan.recipe, plan.dataset.classes)
    plan.folder.check_start(start.sha256, start.teacher.info.sha256 if start.teacher else None)
    splits = training_splits(plan.dataset, run.seed, run.validation_fraction, run.fraction)
    plan.folder.write_splits(splits)  # refuses others
