"""The runs of an experiment: interrupted ones continue, finished ones are left as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foodvision.data import Dataset, training_splits
from foodvision.errors import RecipeError
from foodvision.training.plan import Plan, plan_run
from foodvision.training.run import run_plan
from foodvision.training.run_folder import RunFolder
from foodvision.training.start import starting_point


def plan_once(
    dataset: Dataset, recipe: str, path: Path, device: str, settings: Mapping[str, Any]
) -> Plan:
    """Plan a new run, or take up that of the folder.

    Raises:
        FoodvisionError: as `plan_run` does, or if the folder's run began with other weights.
        RecipeError: if the run in the folder has other settings.

    """
    plan = plan_run(settings, dataset, recipe, path, device, resume=RunFolder(path).exists())
    if plan.extends:
        raise RecipeError(f"{path}: is a run of fewer epochs; choose another --out")
    if plan.resume:
        start = starting_point(plan.recipe, plan.dataset.classes)
        plan.folder.check_start(start.sha256, start.teacher.info.sha256 if start.teacher else None)
    return plan


def train_once(plan: Plan) -> None:
    """Train, continue an interrupted run, or leave a finished one as it is.

    Raises:
        FoodvisionError: as `foodvision.training.run.train` does.

    """
    if not plan.folder.finished():
        run_plan(plan)


def check_images(plan: Plan) -> None:
    """Raise DataError if a finished run has other images; an unfinished one checks them itself."""
    if plan.folder.finished():
        run = plan.recipe
        splits = training_splits(plan.dataset, run.seed, run.validation_fraction, run.fraction)
        plan.folder.write_splits(splits)  # refuses others
