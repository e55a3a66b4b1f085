"""From where a run starts, or was interrupted, to its best model: epoch by epoch, or as a probe.

`fit_network` takes the steps of `Training` and keeps what a resumed run needs; `fit_probe` fits the
head alone on features that are computed once.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import closing
from dataclasses import dataclass

import torch
from rich.console import Console

from foodvision.classifier.headless import Headless
from foodvision.classifier.info import Pretraining
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import FoodvisionError, RunInterruptedError
from foodvision.evaluation.calibrate import calibrate, calibrate_on, sample
from foodvision.metrics import Metrics
from foodvision.probing.features import Features
from foodvision.probing.head import PENALTIES, PenaltyFit, fit_head
from foodvision.training.batches import worker_failures
from foodvision.training.display import show_steps
from foodvision.training.epoch import Epoch, best_of
from foodvision.training.interruption import StopRequest
from foodvision.training.loop import Training
from foodvision.training.loss import class_weights
from foodvision.training.masked import COLOURS, hidden_of
from foodvision.training.optim import groups_table
from foodvision.training.prepare import Run
from foodvision.training.ranks import from_rank_0
from foodvision.training.trackers import start_trackers

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 300.0
"""The most that is lost with a machine, however long an epoch is."""


@dataclass(frozen=True)
class Fitted:
    """The best model of a run.

    Attributes:
        model: a classifier on the run's device; what pretraining leaves, on the CPU.
        history: of every epoch; of every L2 penalty that a probe tried.
        metrics: of the classifier, which is calibrated, on the validation images; of what
            pretraining predicts of these.

    """

    model: TorchClassifier | Headless
    history: list[Epoch] | list[PenaltyFit]
    metrics: Metrics | Pretraining


def fit_network(run: Run) -> Fitted:
    """Take all steps that are left, and return the epoch with the lowest validation log loss.

    Raises:
        RunInterruptedError: if Ctrl-C or SIGTERM stopped it.
        FoodvisionError: if it cannot continue, in one line.

    """
    recipe, folder, accelerator = run.recipe, run.folder, run.accelerator
    cuda = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), worker_failures(folder):
        training = Training(
            run.start.network,
            run.splits.train.images,
            run.splits.validation.images,
            run.start.spec,
            recipe,
            accelerator,
            run.start.teacher,
        )
        if accelerator.is_main_process:
            log.info(_plan(run, training))
            if run.show_groups:
                Console(stderr=True).print(groups_table(training.optimizers))
        history: list[Epoch] = []
        if state := from_rank_0(folder.checkpoints.load, empty=True):
            history = [Epoch(**past) for past in state["history"]]
            training.load_state_dict(state["training"])
            if accelerator.is_main_process:
                log.info(_beginning(run, training))
        saved = time.monotonic()

        with (
            training,
            start_trackers(accelerator, recipe, folder) as track,
            StopRequest() as stop,
            # Closed, so that the bar ends before an error is shown.
            closing(show_steps(training, history)) as steps,
        ):
            for past in history[-1:]:  # the run may have ended before it was tracked
                track(past)
            for epoch in steps if not _stale(history, recipe.patience) else ():
                if epoch:
                    history.append(epoch)
                due = time.monotonic() - saved > CHECKPOINT_SECONDS
                asked, due = _agreed(training, stop.made, due)
                if epoch or asked or due:
                    state = training.state_dict()  # which all ranks make together
                    saved = time.monotonic()
                    if accelerator.is_main_process:
                        with folder.writing():
                            # First the model, then the checkpoint that takes it for saved.
                            if epoch and epoch.log_loss == best_of(history).log_loss:
                                run.export(state).save(folder.path)
                            epochs = [past.to_dict() for past in history]
                            state = {"training": state, "history": epochs}
                            folder.checkpoints.save(training.step, state)
                            folder.write_history(epochs)
                if epoch and accelerator.is_main_process:
                    with folder.writing():
                        track(epoch)
                if asked:
                    done = training.epoch
                    where = f"in epoch {done + 1}" if training.batch else f"after epoch {done}"
                    raise RunInterruptedError(
                        f"interrupted {where} of {recipe.epochs}; {run.resume_command}"
                    )
                if _stale(history, recipe.patience):
                    break
    if math.isnan(best_of(history).log_loss):
        raise FoodvisionError(
            "the validation log loss was not a number in any epoch; lower learning_rate, and "
            "choose another --out"
        )
    if recipe.method == "pretrain":
        model = from_rank_0(lambda: Headless.read(folder.path))
        return Fitted(model, history, _of_patches(best_of(history), run))
    classifier, metrics = from_rank_0(lambda: _calibrated(run))
    return Fitted(classifier.to(accelerator.device.type), history, metrics)


def _calibrated(run: Run) -> tuple[TorchClassifier, Metrics]:
    """The model of the run's folder, and its metrics on the validation images."""
    classifier = TorchClassifier.load(run.folder.path, run.accelerator.device.type)
    return classifier, calibrate(classifier, run.splits.train.images, run.splits.validation.images)


def fit_probe(run: Run) -> Fitted:
    """Fit the head alone, on features that are computed once.

    Raises:
        FoodvisionError: if the features cannot be computed or kept.

    """
    recipe, accelerator, network = run.recipe, run.accelerator, run.start.network
    train, validation = run.splits.train, run.splits.validation
    network.to(accelerator.device).eval()
    batch_size = max(1, recipe.batch_size // accelerator.num_processes)
    features = Features(network, run.start.spec, recipe.precision, batch_size)
    if accelerator.num_processes > 1:  # each computes its share, and finds the others' on disk
        for inventory in (train, validation):
            mine = range(
                accelerator.process_index, len(inventory.sha256), accelerator.num_processes
            )
            features.compute(inventory.subset(mine))
        accelerator.wait_for_everyone()
    # Every process fits the same: waiting for one of them would have a time limit.
    known, held_out = features.of(train), features.of(validation)
    head = fit_head(
        (known, train.images.labels),
        (held_out, validation.images.labels),
        train.images.classes,
        class_weights(train.images, recipe),
    )
    if best_of(head.tried).l2 == PENALTIES[-1]:
        log.warning(
            "the weakest L2 penalty validates best: fine-tuning may do better with this many images"
        )
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))
    classifier = run.classifier(network.state_dict()).to(accelerator.device.type)
    known = known[sample(len(known))]
    metrics = calibrate_on(classifier, known, held_out, validation.images.labels)
    return Fitted(classifier, head.tried, metrics)


def _of_patches(best: Epoch, run: Run) -> Pretraining:
    """What the best epoch of pretraining predicts of the validation images."""
    n, config = len(run.splits.validation.images), run.recipe.vit_config(COLOURS)
    patches = n * hidden_of(math.prod(config.grid))
    return Pretraining(n=n, patches=patches, log_loss=best.log_loss, accuracy=best.accuracy)


def _stale(history: list[Epoch], patience: int) -> bool:
    """Whether the recipe's patience is at its end."""
    return bool(patience and history) and len(history) - best_of(history).epoch >= patience


def _agreed(training: Training, *wishes: bool) -> list[bool]:
    """Whether any rank has each of these wishes: all must follow after the same step, or hang."""
    accelerator = training.accelerator
    if accelerator.num_processes == 1:
        return list(wishes)
    if training.step % 10:  # asking the others waits for the device
        return [False for _ in wishes]
    shares = accelerator.reduce(torch.tensor(wishes, device=accelerator.device).float())
    return [share > 0 for share in shares.tolist()]


def _beginning(run: Run, training: Training) -> str:
    """Where a run continues: its own last step, or the end of the run that it extends."""
    before = run.folder.begun().get("extends")
    if not before or before["epochs"] < training.epoch or training.batch:
        return f"resuming after step {training.step}"
    return (
        f"{run.folder.path}: a new run that begins where {before['run']} ended, after epoch "
        f"{training.epoch}, with its weights, averages and optimiser state; from there on the "
        f"learning rate is that of a run of {run.recipe.epochs} epochs"
    )


def _plan(run: Run, training: Training) -> str:
    """What is about to be done, in one line."""
    train, validation = run.splits.train.images, run.splits.validation.images
    epochs, learnt = run.recipe.epochs, f"of {len(train.classes)} classes"
    if run.recipe.method == "pretrain":
        learnt = "without labels"
    return (
        f"{len(train):,} training and {len(validation):,} validation images {learnt}; "
        f"{epochs} epoch{'s' * (epochs > 1)}, {training.total_steps:,} steps "
        f"of {run.recipe.batch_size * run.recipe.accumulate} images on "
        f"{run.accelerator.device.type} ({run.recipe.precision})"
    )
