"""The steps of a run: from where it begins, or was stopped, to the last epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import torch
from accelerate import Accelerator
from rich.console import Console

from foodvision.data import TrainingSplits
from foodvision.errors import DataError, FoodvisionError, ImageError, RunInterruptedError
from foodvision.models.network import Network
from foodvision.training.interruption import StopRequest
from foodvision.training.loop import Epoch, Training, seconds_per_step
from foodvision.training.optim import groups_table
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import RunFolder
from foodvision.training.start import Start
from foodvision.training.trackers import start_trackers

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 300.0
"""The most that is lost with a machine, however long an epoch is."""


def fit(
    start: Start,
    splits: TrainingSplits,
    recipe: Recipe,
    folder: RunFolder,
    accelerator: Accelerator,
    keep: Callable[[Network], None],
    go_on: str,
    show_groups: bool,
) -> list[Epoch]:
    """Take all steps that are left.

    Args:
        start: what to train.
        splits: what to learn from, and what to choose the best epoch by.
        recipe: everything else.
        folder: of the run: what it goes on from, if it was begun, and where its checkpoints go.
        accelerator: device and processes.
        keep: called with the network of each epoch that is the best so far.
        go_on: the command that goes on with this run.
        show_groups: print the parameter groups first.

    Raises:
        RunInterruptedError: if Ctrl-C or SIGTERM has stopped it.
        FoodvisionError: if it cannot go on, in one line.

    """
    train, validation = splits.train.images, splits.validation.images
    network, spec = start.network, start.spec
    cuda = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _workers_alive():
        if accelerator.is_main_process:
            seconds = seconds_per_step(network, spec, recipe, accelerator.device)
            log.info(_plan(splits, recipe, accelerator, seconds))
        training = Training(network, train, validation, spec, recipe, accelerator)
        if show_groups and accelerator.is_main_process:
            Console(stderr=True).print(groups_table(training.optimizers))
        history: list[Epoch] = []
        if state := folder.checkpoints.load():
            history = [Epoch(**past) for past in state["history"]]
            training.load_state_dict(state["training"])
            log.info("going on after step %d", training.step)
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
                    with folder.writing():
                        # First the model, then the checkpoint that takes it for saved.
                        if epoch and epoch.log_loss == min(past.log_loss for past in history):
                            keep(training.result)
                        epochs = [past.to_dict() for past in history]
                        folder.checkpoints.save(
                            training.step, {"training": training.state_dict(), "history": epochs}
                        )
                        folder.write_history(epochs)
                    saved = time.monotonic()
                if epoch:
                    with folder.writing():
                        track(epoch)
                if asked:
                    done = training.epoch
                    where = f"in epoch {done + 1}" if training.batch else f"after epoch {done}"
                    raise RunInterruptedError(f"stopped {where} of {recipe.epochs}; {go_on}")
                if _stale(history, recipe):
                    break
    accelerator.wait_for_everyone()
    return history


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
            "a process that prepares images has died, perhaps for want of memory; go on with "
            "the same command, --resume and --set num_workers=0"
        ) from error


def _plan(
    splits: TrainingSplits,
    recipe: Recipe,
    accelerator: Accelerator,
    seconds_per_step: float,
) -> str:
    """What is about to be done, and how long it will take, in one line."""
    batch_size = recipe.batch_size * accelerator.num_processes
    steps = recipe.epochs * max(1, len(splits.train.images) // batch_size)
    seconds = steps * seconds_per_step
    return (
        f"{len(splits.train.images):,} training and {len(splits.validation.images):,} "
        f"validation images of {len(splits.train.images.classes)} classes; "
        f"{recipe.epochs} epochs, {steps:,} batches of {batch_size} images; about "
        + (f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes")
        + f" on {accelerator.device.type} ({recipe.precision})"
    )
