"""One training run, stage by stage: from a dataset and a recipe to a folder with the best model."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from foodvision.backends.device import choose_device, decide_precision, keep_freed_memory
from foodvision.classifier.describe import finetune_command
from foodvision.classifier.headless import Headless
from foodvision.classifier.info import Measured, Pretraining
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset
from foodvision.errors import FoodvisionError, ModelError, RunInterruptedError
from foodvision.files.atomic import write_json
from foodvision.metrics import Metrics
from foodvision.plots import plot_history
from foodvision.probing.head import PenaltyFit
from foodvision.progress import is_first_process, show_log
from foodvision.training.accelerator import build_accelerator, run_processes
from foodvision.training.epoch import Epoch, best_of
from foodvision.training.extension import extend
from foodvision.training.fit import Fitted, fit_network, fit_probe
from foodvision.training.plan import Follower, Plan, plan_run
from foodvision.training.prepare import Run, prepare, told
from foodvision.training.ranks import from_rank_0, lost_ranks, one_report
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import METRICS
from foodvision.training.start import starting_point

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a run.

    Attributes:
        model: of the epoch, or the L2 penalty, with the lowest validation log loss; pretraining
            leaves a network without a head.
        history: of every epoch; of every L2 penalty that a probe tried.
        metrics: of the calibrated classifier on the validation images: in float32, or for a probe
            in the precision of its features; of what pretraining predicts of these.
        folder: where all of it is written.

    """

    model: TorchClassifier | Headless
    history: list[Epoch] | list[PenaltyFit]
    metrics: Metrics | Pretraining
    folder: Path

    @property
    def classifier(self) -> TorchClassifier:
        """The model.

        Raises:
            ModelError: if it is a pretrained network without a head.

        """
        if isinstance(self.model, Headless):
            raise ModelError(
                f"{self.folder}: has no classes yet, it is a pretrained network without a head; "
                f"fine-tune it: {finetune_command(self.folder)}"
            )
        return self.model


def train(
    data: str | Path | Dataset,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    show_groups: bool = False,
    **settings: Any,
) -> TrainingResult:
    """Train a classifier, or pretrain a network. Never opens an image of the test split.

    Progress is shown on stderr: a bar on a terminal, else a log line for each epoch. To see
    neither, set the level of the logger ``foodvision`` to WARNING. From then on this process keeps
    the memory that it frees, see `keep_freed_memory`.

    Args:
        data: a `Dataset`, or what `load_dataset` takes.
        recipe: the name of one that ships, or a TOML file; None for ``scratch``, for ``finetune``
            if weights are given, or for the run's own when it is resumed.
        out: a folder that is empty or does not exist, or that of the run to resume;
            ``runs/DATA-RECIPE`` if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        resume: continue an interrupted run, to the same result as if it had not been interrupted.
            Settings other than the run's are refused, unless they do not change the result, such
            as weights that have moved. A finished run of fewer ``epochs`` is extended by a new run
            beside it, which continues from its weights, averages and optimiser state: each later
            epoch has the learning rate that it has in a run of ``epochs``.
        show_groups: print the parameter groups first: which layers have which learning rate.
        settings: changes to the recipe, such as ``epochs=10``; see `Recipe`.

    Raises:
        FoodvisionError: with one line that says what is wrong and what to do.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped it; it can be resumed.

    """
    with show_log():
        if not is_first_process():
            return run_plan(Follower(data, device))
        return run_plan(plan_run(settings, data, recipe, out, device, resume, show_groups))


def run_plan(asked: Plan | Follower) -> TrainingResult:
    """Train as planned, stage by stage: what `train` and the command line call.

    Of several processes, rank 0 has the plan, and the others follow it.

    Raises:
        FoodvisionError: see `train`.
        OtherRankError: on ranks that end because another one failed first.
        RunInterruptedError: see `train`.

    """
    target = choose_device(asked.device)
    if isinstance(asked, Plan):
        _check_compiler(asked.recipe, target)
    keep_freed_memory()
    with run_processes(target), one_report(), lost_ranks("start the same command again"):
        return _run(told(asked), target)


def _run(plan: Plan, target: torch.device) -> TrainingResult:
    folder = plan.folder
    accelerator = build_accelerator(target, plan.recipe, folder.path)
    recipe, main = _decided(plan.recipe, target), accelerator.is_main_process
    try:
        start = from_rank_0(lambda: starting_point(recipe, plan.dataset.classes))
        taught_by = start.teacher.info.sha256 if start.teacher else None
        if plan.extends and main:
            plan.extends.check_start(start.sha256, taught_by)
            extend(plan.extends, folder, recipe)
        with folder.locked() if main else nullcontext():
            if main and plan.resume:
                folder.check_start(start.sha256, taught_by)
            elif main:
                folder.claim(plan.dataset.name, recipe, start.sha256, taught_by)
            new = plan.extends or not plan.resume
            again = lost_ranks(
                "start the same command with --resume, on as many devices as there are"
            )
            with folder.freed_on_failure() if main and new else nullcontext(), again:
                run = prepare(plan, recipe, start, accelerator)
                fitted = fit_probe(run) if recipe.method == "probe" else fit_network(run)
                return save(fitted, run)
    except KeyboardInterrupt as error:  # before the first step or after the last
        if not folder.exists():
            raise
        raise RunInterruptedError(f"interrupted; {plan.resume_command}") from error


def save(fitted: Fitted, run: Run) -> TrainingResult:
    """Write the model with its figures, the history and the curves into the run's folder."""
    model, metrics, folder = fitted.model, fitted.metrics, run.folder
    # Of an extended run, the best epoch may be one of those it began with.
    of_run: dict[str, Any] = {"training": run.training, "recipe": run.recipe.model_dump()}
    if isinstance(metrics, Pretraining):
        of_run["pretraining"], figures = metrics, metrics.model_dump()
    else:
        of_run["metrics"], figures = _headline(metrics, run.recipe), metrics.to_dict()
    model.info = model.info.model_copy(update=of_run)
    if run.accelerator.is_main_process:
        with folder.writing():
            model.save(folder.path)
            write_json(folder.path / METRICS, figures)
            rows = [past.to_dict() for past in fitted.history]
            folder.write_history(rows)
            plot_history(rows, folder.path / "curves.png")
    best = best_of(fitted.history)
    log.info("best of %d: %s; on validation: %s", len(fitted.history), best.name, metrics)
    return TrainingResult(model, fitted.history, metrics, folder.path)


def _headline(metrics: Metrics, recipe: Recipe) -> Measured:
    probe = recipe.method == "probe"
    return Measured(
        n=metrics.n,
        log_loss=metrics.log_loss,
        accuracy=metrics.accuracy,
        accuracy_ci95=metrics.accuracy_ci95,
        ece=metrics.ece,
        precision=recipe.precision if probe else "float32",
        chosen="the head's L2 penalty" if probe else "the best epoch",
    )


def _decided(recipe: Recipe, device: torch.device) -> Recipe:
    """With ``auto`` replaced by what is fast here: the main process measures, for all."""
    precision = from_rank_0(lambda: decide_precision(recipe.precision, device))
    return recipe.model_copy(update={"precision": precision})


def _check_compiler(recipe: Recipe, device: torch.device) -> None:
    """Raise FoodvisionError if torch.compile will find no C++ compiler, before any work is done."""
    native = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    compiler = os.environ.get("CXX", native)  # where torch looks too
    if recipe.compile and device.type == "cpu" and not shutil.which(compiler):
        raise FoodvisionError(
            f"compile = true needs a C++ compiler: install {compiler}, or leave it out"
        )
