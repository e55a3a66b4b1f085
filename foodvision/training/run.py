"""One training run, stage by stage: from a dataset and a recipe to a folder with the best model."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list

from foodvision.backends.device import choose_device, decide_precision, keep_freed_memory
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.info import Measured
from foodvision.data import load_dataset
from foodvision.errors import DataError, FoodvisionError, ImageError, RunInterruptedError
from foodvision.files.atomic import write_json
from foodvision.metrics import Metrics, RunningMetrics
from foodvision.plots import plot_curves
from foodvision.probing.head import PenaltyFit
from foodvision.training.accelerator import run_accelerator
from foodvision.training.fit import Fitted, best_of, fit_network, fit_probe
from foodvision.training.loop import Epoch
from foodvision.training.prepare import Run, prepare
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import RunFolder, find_run
from foodvision.training.settings import load_recipe, resumed_recipe
from foodvision.training.start import starting_point
from foodvision.training.trackers import check_trackers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a run.

    Attributes:
        classifier: of the epoch, or the L2 penalty, with the lowest validation log loss.
        history: of every epoch; of every L2 penalty that a probe tried.
        metrics: of the classifier on the validation images: in float32, or for a probe in the
            precision of its features.
        folder: where all of it is written.

    """

    classifier: Classifier
    history: list[Epoch] | list[PenaltyFit]
    metrics: Metrics
    folder: Path


def train(
    data: str | Path,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    show_groups: bool = False,
    **settings: Any,
) -> TrainingResult:
    """Train a classifier. Never opens an image of the test split.

    From then on this process keeps the memory that it frees, see `keep_freed_memory`.

    Args:
        data: see `load_dataset`.
        recipe: the name of one that ships, or a TOML file; None for ``scratch``, for ``finetune``
            if weights are given, or for the run's own when it is resumed.
        out: a folder that is empty or does not exist, or that of the run to resume;
            ``runs/DATA-RECIPE`` if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        resume: continue an interrupted run, to the same result as if it had not been interrupted.
            Settings other than the run's are refused, unless they do not change the result.
        show_groups: print the parameter groups first: which layers have which learning rate.
        settings: changes to the recipe, such as ``epochs=10``; see `Recipe`.

    Raises:
        FoodvisionError: with one line that says what is wrong and what to do.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped it; it can be resumed.

    """
    return train_with(settings, data, recipe, out, device, resume, show_groups)


def train_with(
    settings: Mapping[str, Any],
    data: str | Path,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    show_groups: bool = False,
) -> TrainingResult:
    """`train` with settings under any name, which are checked: what the command line calls."""
    usual = recipe or ("finetune" if settings.get("weights") else "scratch")
    target = choose_device(device)
    chosen = load_recipe(usual, settings) if not resume else None  # before data is downloaded
    dataset = load_dataset(data)
    folder = RunFolder(Path(out or f"runs/{dataset.name}-{Path(usual).stem}"))
    if chosen is None:
        if not out and not recipe and not settings.get("weights"):
            folder = find_run(folder, dataset.name)
        chosen = resumed_recipe(folder.recipe(), recipe, settings)
    dataset = dataset.restricted(chosen.classes, chosen.exclude_classes)
    if len(dataset.classes) < 2:
        raise DataError(f"{dataset.name}: fewer than two classes: {', '.join(dataset.classes)}")
    check_trackers(chosen)
    _check_compiler(chosen, target)
    keep_freed_memory()
    command = ["foodvision", "train", str(data), "--out", str(folder.path), "--resume"]
    command += ["--device", device] if device != "auto" else []
    resume_command = f"resume with: {shlex.join(command)}"
    if not resume:
        folder.check_free()  # before anything is written there, the lock included
    try:
        with run_accelerator(target, chosen, folder.path) as accelerator:
            chosen = _decided(chosen, target)
            with accelerator.main_process_first():  # the others find what it has downloaded
                start = starting_point(chosen, dataset.classes, accelerator.num_processes)
            with folder.locked() if accelerator.is_main_process else nullcontext():
                if accelerator.is_main_process and resume:
                    folder.check_start(start.sha256)
                elif accelerator.is_main_process:
                    folder.claim(dataset.name, chosen, start.sha256)
                accelerator.wait_for_everyone()
                run = prepare(
                    dataset, chosen, start, folder, accelerator, resume_command, show_groups
                )
                fitted = fit_probe(run) if chosen.method == "probe" else fit_network(run)
                metrics = measure(fitted, run)
                return save(fitted, metrics, run)
    except KeyboardInterrupt as error:  # before the first step or after the last
        if not folder.exists():
            raise
        raise RunInterruptedError(f"interrupted; {resume_command}") from error


def measure(fitted: Fitted, run: Run) -> Metrics:
    """How good the best model is on the validation images, in float32 if it is not known yet."""
    if fitted.metrics:
        return fitted.metrics
    images, running = run.splits.validation.images, RunningMetrics(fitted.classifier.classes)
    sources = (example.source for example in images)
    for label, logits in zip(images.labels, fitted.classifier.logits(sources), strict=True):
        if isinstance(logits, ImageError):  # it opened when the run began
            raise logits
        running.update(logits[None], label[None])
    return running.result()


def save(fitted: Fitted, metrics: Metrics, run: Run) -> TrainingResult:
    """Write the model with its figures, the history and the curves into the run's folder."""
    probe = run.recipe.method == "probe"
    measured = Measured(
        n=metrics.n,
        log_loss=metrics.log_loss,
        accuracy=metrics.accuracy,
        accuracy_ci95=metrics.accuracy_ci95,
        ece=metrics.ece,
        precision=run.recipe.precision if probe else "float32",
        chosen="the head's L2 penalty" if probe else "the best epoch",
    )
    classifier, folder = fitted.classifier, run.folder
    classifier.info = classifier.info.model_copy(update={"metrics": measured})
    if run.accelerator.is_main_process:
        with folder.writing():
            classifier.save(folder.path)
            write_json(folder.path / "metrics.json", metrics.to_dict())
            rows = [past.to_dict() for past in fitted.history]
            folder.write_history(rows)
            if not probe:
                plot_curves(rows, folder.path / "curves.png")
    best = best_of(fitted.history)
    log.info("best of %d: %s; on validation: %s", len(fitted.history), best.name, metrics)
    return TrainingResult(classifier, fitted.history, metrics, folder.path)


def _decided(recipe: Recipe, device: torch.device) -> Recipe:
    """With ``auto`` replaced by what is fast here: the main process measures, for all."""
    decided: list[Any] = [decide_precision(recipe.precision, device)]
    if recipe.precision == "auto":
        decided = broadcast_object_list(decided)
    return recipe.model_copy(update={"precision": decided[0]})


def _check_compiler(recipe: Recipe, device: torch.device) -> None:
    """Raise FoodvisionError if torch.compile will find no C++ compiler, before any work is done."""
    native = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    compiler = os.environ.get("CXX", native)  # where torch looks too
    if recipe.compile and device.type == "cpu" and not shutil.which(compiler):
        raise FoodvisionError(
            f"compile = true needs a C++ compiler: install {compiler}, or leave it out"
        )
