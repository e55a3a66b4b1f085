"""One training run: from a data set and a recipe to a folder that holds the best model."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from torch import Tensor

from foodvision.classifier import Classifier
from foodvision.data import Dataset, Pictures, TrainingSplits, load_dataset, training_splits
from foodvision.errors import DataError, FoodvisionError, ImageError, RunInterruptedError
from foodvision.metrics import Metrics, RunningMetrics
from foodvision.models.vit import ViT
from foodvision.plots import plot_curves
from foodvision.runtime import choose_device, has_fast_bf16, keep_freed_memory
from foodvision.training.folder import RunFolder
from foodvision.training.interruption import StopRequest
from foodvision.training.loop import Epoch, Training, seconds_per_step
from foodvision.training.randomness import INITIAL_WEIGHTS, seeded
from foodvision.training.recipe import Recipe, load_recipe, unchanged
from foodvision.training.trackers import check_trackers, start_trackers

log = logging.getLogger(__name__)

MAX_UNREADABLE = 0.05
"""Share of training pictures that may fail to open before a run stops."""

CHECKPOINT_SECONDS = 300.0
"""The most that is lost with a machine, however long an epoch is."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run has left.

    Attributes:
        classifier: of the epoch with the lowest validation log loss.
        history: of every epoch.
        metrics: of the classifier on the validation pictures, in float32.
        folder: where all of it is written.

    """

    classifier: Classifier
    history: list[Epoch]
    metrics: Metrics
    folder: Path


def train(
    data: str | Path,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    **settings: Any,
) -> TrainingResult:
    """Train a classifier. Never opens a picture of the test split.

    From then on this process keeps the memory that it frees, see `keep_freed_memory`.

    Args:
        data: see `load_dataset`.
        recipe: the name of one that ships, or a TOML file; None for ``scratch``, or for the run's
            own when it is resumed.
        out: a folder that is empty or not there, or that of the run to resume;
            ``runs/DATA-RECIPE`` if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        resume: go on with an interrupted run, to the same result as if it had not been. Settings
            other than the run's are refused, but for those that do not change the result.
        settings: changes to the recipe, such as ``epochs=10``; see `Recipe`.

    Raises:
        FoodvisionError: with one line that says what is wrong and what to do.
        RunInterruptedError: if Ctrl-C or SIGTERM has stopped it; it can be resumed.

    """
    dataset = load_dataset(data)
    folder = RunFolder(Path(out or f"runs/{dataset.name}-{Path(recipe or 'scratch').stem}"))
    chosen = (
        unchanged(folder.recipe(), recipe, settings)
        if resume
        else load_recipe(recipe or "scratch", settings)
    )
    target = choose_device(device)
    dataset = dataset.restricted(chosen.classes, chosen.exclude_classes)
    if len(dataset.classes) < 2:
        raise DataError(f"{dataset.name}: fewer than two classes: {', '.join(dataset.classes)}")
    check_trackers(chosen)
    _check_compiler(chosen, target)
    keep_freed_memory()
    accelerator = Accelerator(
        cpu=target.type == "cpu",
        gradient_accumulation_steps=chosen.accumulate,
        log_with=list(chosen.trackers) or None,
        project_dir=folder.path,
        mixed_precision="no",  # `accelerate launch` may say otherwise; autocast is the loop's
    )
    chosen = _decide_precision(chosen, target)
    if accelerator.is_main_process and not resume:
        folder.claim(chosen)
    lock = folder.locked() if accelerator.is_main_process else nullcontext()
    command = ["foodvision", "train", str(data)]
    command += ["--device", device] if device != "auto" else []
    go_on = f"go on with: {shlex.join([*command, '--out', str(folder.path), '--resume'])}"
    try:
        with lock:
            accelerator.wait_for_everyone()
            return _run(dataset, chosen, folder, accelerator, device, go_on)
    except KeyboardInterrupt as error:  # before the first step or after the last
        raise RunInterruptedError(f"stopped; {go_on}") from error


def _run(
    dataset: Dataset,
    chosen: Recipe,
    folder: RunFolder,
    accelerator: Accelerator,
    device: str,
    go_on: str,
) -> TrainingResult:
    """All of a run once its folder is claimed."""
    splits = training_splits(dataset, chosen.seed, chosen.validation_fraction, chosen.fraction)
    _check_unreadable(dataset, splits)
    if accelerator.is_main_process:
        with _resumable(folder):
            folder.write_splits(splits)
    history = _fit(dataset, splits, chosen, folder, accelerator, go_on)

    classifier = Classifier.load(folder.path, device)
    metrics = _measure(classifier, splits.validation.pictures)
    classifier.metadata["metrics"] = metrics.to_dict()
    if accelerator.is_main_process:
        with _resumable(folder):
            classifier.save(folder.path)
            folder.write_json("metrics.json", metrics.to_dict())
            plot_curves([past.to_dict() for past in history], folder.path / "curves.png")
    best = min(history, key=lambda past: past.log_loss)
    log.info("best epoch %d of %d; on validation: %s", best.epoch, len(history), metrics)
    return TrainingResult(classifier, history, metrics, folder.path)


def _fit(
    dataset: Dataset,
    splits: TrainingSplits,
    recipe: Recipe,
    folder: RunFolder,
    accelerator: Accelerator,
    go_on: str,
) -> list[Epoch]:
    """Take all steps that are left, and keep the best network in the folder."""
    train, validation = splits.train.pictures, splits.validation.pictures
    spec, metadata = recipe.image_spec(), _metadata(dataset, splits, recipe)
    cuda = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _workers_alive():
        with seeded(recipe.seed, INITIAL_WEIGHTS):
            network = ViT(recipe.vit_config(len(dataset.classes)))
        if accelerator.is_main_process:
            seconds = seconds_per_step(network, spec, recipe, accelerator.device)
            log.info(_plan(dataset, splits, recipe, accelerator, seconds))
        training = Training(network, train, validation, spec, recipe, accelerator)
        history: list[Epoch] = []
        if state := folder.checkpoints.load():
            history = [Epoch(**past) for past in state["history"]]
            training.load_state_dict(state["training"])
            log.info("going on after step %d", training.step)
        shift = training.class_weights.log().cpu()
        saved = time.monotonic()

        with (
            closing(training),
            start_trackers(accelerator, recipe, folder) as track,
            StopRequest() as stop,
        ):
            for past in history[-1:]:  # the run may have ended before it was tracked
                track(past)
            for epoch in training.steps() if not _stale(history, recipe) else ():
                if epoch:
                    history.append(epoch)
                asked = _asked_to_stop(stop, training)
                due = time.monotonic() - saved > CHECKPOINT_SECONDS
                if accelerator.is_main_process and (epoch or asked or due):
                    with _resumable(folder):
                        # First the model, then the checkpoint that takes it for saved.
                        if epoch and epoch.log_loss == min(past.log_loss for past in history):
                            best = _snapshot(training.result, shift)
                            Classifier(best, spec, dataset.classes, metadata).save(folder.path)
                        epochs = [past.to_dict() for past in history]
                        folder.checkpoints.save(
                            training.step, {"training": training.state_dict(), "history": epochs}
                        )
                        folder.write_history(epochs)
                    saved = time.monotonic()
                if epoch:
                    with _resumable(folder):
                        track(epoch)
                if asked:
                    done = training.epoch
                    where = f"in epoch {done + 1}" if training.batch else f"after epoch {done}"
                    raise RunInterruptedError(f"stopped {where} of {recipe.epochs}; {go_on}")
                if _stale(history, recipe):
                    break
    accelerator.wait_for_everyone()
    return history


def _decide_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """Replace ``auto`` by what is fast here: the main process measures, for all."""
    decided: list[Any] = [recipe.precision]
    if recipe.precision == "auto":
        decided = broadcast_object_list(["bf16" if has_fast_bf16(device) else "float32"])
    return recipe.model_copy(update={"precision": decided[0]})


def _check_compiler(recipe: Recipe, device: torch.device) -> None:
    """Raise FoodvisionError if torch.compile will find no C++ compiler, before any work is done."""
    native = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    compiler = os.environ.get("CXX", native)  # where torch looks too
    if recipe.compile and device.type == "cpu" and not shutil.which(compiler):
        raise FoodvisionError(
            f"compile = true needs a C++ compiler: install {compiler}, or leave it out"
        )


def _stale(history: list[Epoch], recipe: Recipe) -> bool:
    """Whether the recipe's patience is at its end."""
    if not recipe.patience or not history:
        return False
    best = min(history, key=lambda past: past.log_loss)
    return len(history) - best.epoch >= recipe.patience


def _asked_to_stop(stop: StopRequest, training: Training) -> bool:
    """Whether any process was asked to: all must stop after the same step, or they hang."""
    accelerator = training.accelerator
    if accelerator.num_processes == 1:
        return stop.made
    if training.step % 10:  # asking the others waits for the device
        return False
    if stop.made:
        accelerator.set_trigger()
    return bool(accelerator.check_trigger())


@contextmanager
def _resumable(folder: RunFolder) -> Iterator[None]:
    """Failures to write, as one line that says how to go on."""
    try:
        folder.check()
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        way_on = (
            "the last checkpoint is kept: mend that, then go on with the same command and --resume"
            if folder.path.exists()
            else "the folder has gone: put it back and --resume, or start anew"
        )
        raise FoodvisionError(f"{folder.path}: cannot be written ({reason}); {way_on}") from error


@contextmanager
def _workers_alive() -> Iterator[None]:
    """What happens in worker processes, as errors of this one."""
    try:
        yield
    except RuntimeError as error:
        if str(error).startswith(f"Caught {ImageError.__name__} in DataLoader worker"):
            # torch hands over the traceback's text alone; its last line is the message.
            reason = str(error).strip().splitlines()[-1].partition(": ")[2]
            raise DataError(reason) from error
        if "DataLoader worker (pid" not in str(error):
            raise
        raise FoodvisionError(
            "a process that prepares pictures has died, perhaps for want of memory; go on with "
            "the same command, --resume and --set num_workers=0"
        ) from error


def _metadata(dataset: Dataset, splits: TrainingSplits, recipe: Recipe) -> dict[str, Any]:
    return {
        "recipe": recipe.model_dump(),
        "data": {
            "name": dataset.name,
            "train": len(splits.train.pictures),
            "validation": len(splits.validation.pictures),
            "unreadable": len(splits.unreadable),
            "fingerprint": splits.train.fingerprint(),
        },
        "versions": {name: version(name) for name in ("foodvision", "torch", "torchvision")},
    }


def _check_unreadable(dataset: Dataset, splits: TrainingSplits) -> None:
    bad = splits.unreadable
    total = len(splits.train.pictures) + len(splits.validation.pictures) + len(bad)
    summary = f"{dataset.name}: {len(bad)} of {total} pictures cannot be opened"
    if len(bad) > MAX_UNREADABLE * total:
        shown = "; ".join(map(str, bad[:3]))
        raise DataError(f"{summary}, more than {MAX_UNREADABLE:.0%}: {shown}; ...")
    if bad:
        log.warning("%s and are left out (unreadable.csv), the first is %s", summary, bad[0])


def _plan(
    dataset: Dataset,
    splits: TrainingSplits,
    recipe: Recipe,
    accelerator: Accelerator,
    seconds_per_step: float,
) -> str:
    """What is about to be done, and how long it will take, in one line."""
    test = dataset.splits.get("test")
    batch_size = recipe.batch_size * accelerator.num_processes
    steps = recipe.epochs * max(1, len(splits.train.pictures) // batch_size)
    seconds = steps * seconds_per_step
    return (
        f"{len(splits.train.pictures):,} training and {len(splits.validation.pictures):,} "
        f"validation pictures of {len(dataset.classes)} classes"
        + (f" ({len(test):,} of the test stay closed)" if test else "")
        + f"; {recipe.epochs} epochs, {steps:,} batches of {batch_size} pictures; about "
        + (f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes")
        + f" on {accelerator.device.type} ({recipe.precision})"
    )


def _snapshot(network: ViT, shift: Tensor) -> ViT:
    """A copy for the user: on the CPU, the class weights' shift taken out of its logits."""
    copy = ViT(network.config)
    copy.load_state_dict(network.state_dict())
    with torch.no_grad():
        copy.head.bias -= shift
    return copy


def _measure(classifier: Classifier, pictures: Pictures) -> Metrics:
    running = RunningMetrics(classifier.classes)
    for label, logits in zip(
        pictures.labels, classifier.logits(example.source for example in pictures), strict=True
    ):
        if isinstance(logits, ImageError):  # it opened when the run began
            raise logits
        running.update(logits[None], label[None])
    return running.result()
