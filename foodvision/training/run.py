"""One training run: from a data set and a recipe to a folder that holds the best model."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from foodvision.classifier import Classifier
from foodvision.data import Dataset, Pictures, TrainingSplits, load_dataset, training_splits
from foodvision.errors import DataError, FoodvisionError, ImageError
from foodvision.metrics import Metrics, RunningMetrics
from foodvision.models.vit import ViT
from foodvision.plots import plot_curves
from foodvision.runtime import choose_device, has_fast_bf16
from foodvision.training.loop import Epoch, class_weights, fit, seconds_per_step
from foodvision.training.randomness import INITIAL_WEIGHTS, seeded
from foodvision.training.recipe import Recipe, load_recipe

log = logging.getLogger(__name__)

MAX_UNREADABLE = 0.05
"""Share of training pictures that may fail to open before a run stops."""


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
    recipe: str | Path = "scratch",
    out: str | Path | None = None,
    device: str = "auto",
    **settings: Any,
) -> TrainingResult:
    """Train a classifier. Never opens a picture of the test split.

    Args:
        data: see `load_dataset`.
        recipe: the name of one that ships, or a TOML file.
        out: a folder that is empty or not there; ``runs/DATA-RECIPE`` if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        settings: changes to the recipe, such as ``epochs=10``; see `Recipe`.

    Raises:
        FoodvisionError: with one line that says what is wrong and what to do.

    """
    chosen = load_recipe(recipe, settings)
    target = choose_device(device)
    if chosen.precision == "auto":
        decided = "bf16" if has_fast_bf16(target) else "float32"
        chosen = chosen.model_copy(update={"precision": decided})
    dataset = load_dataset(data)
    folder = Path(out or f"runs/{dataset.name}-{Path(recipe).stem}")
    accelerator = Accelerator(cpu=target.type == "cpu")
    if accelerator.is_main_process:
        _claim(folder)
    accelerator.wait_for_everyone()
    splits = training_splits(dataset, chosen.seed, chosen.validation_fraction)
    _check_unreadable(dataset, splits)
    if accelerator.is_main_process:
        _write_splits(splits, folder)
    training, validation = splits.train.pictures, splits.validation.pictures

    with seeded(chosen.seed, INITIAL_WEIGHTS):
        network = ViT(chosen.vit_config(len(dataset.classes)))
    spec = chosen.image_spec()
    metadata: dict[str, Any] = {
        "recipe": chosen.model_dump(),
        "data": {
            "name": dataset.name,
            "train": len(training),
            "validation": len(validation),
            "unreadable": len(splits.unreadable),
            "fingerprint": splits.train.fingerprint(),
        },
        "versions": {name: version(name) for name in ("foodvision", "torch", "torchvision")},
    }
    shift = torch.tensor(np.log(class_weights(training, chosen)))
    history: list[Epoch] = []
    cuda = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):  # the loop seeds torch's global generators
        if accelerator.is_main_process:
            seconds = seconds_per_step(network, spec, chosen, accelerator.device)
            log.info(_plan(dataset, splits, chosen, accelerator, seconds))
        for epoch in fit(network, training, validation, spec, chosen, accelerator):
            history.append(epoch)
            if accelerator.is_main_process:
                with (folder / "history.jsonl").open("a") as file:
                    file.write(json.dumps(epoch.to_dict()) + "\n")
                if epoch.log_loss == min(past.log_loss for past in history):
                    Classifier(_snapshot(network, shift), spec, dataset.classes, metadata).save(
                        folder
                    )
    accelerator.wait_for_everyone()

    classifier = Classifier.load(folder, device)
    metrics = _measure(classifier, validation)
    classifier.metadata["metrics"] = metrics.to_dict()
    if accelerator.is_main_process:
        classifier.save(folder)
        (folder / "metrics.json").write_text(json.dumps(metrics.to_dict(), indent=2) + "\n")
        plot_curves([past.to_dict() for past in history], folder / "curves.png")
    best = min(history, key=lambda past: past.log_loss)
    log.info("best epoch %d of %d; on validation: %s", best.epoch, len(history), metrics)
    return TrainingResult(classifier, history, metrics, folder)


def _claim(folder: Path) -> None:
    """Make the folder of a run, or refuse it, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FoodvisionError(f"{folder}: is not empty; choose another --out")
        probe = folder / "history.jsonl"  # better to know now than after the first epoch
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FoodvisionError(
            f"{folder}: cannot be written ({error.strerror}); choose another --out"
        ) from error


def _check_unreadable(dataset: Dataset, splits: TrainingSplits) -> None:
    bad = splits.unreadable
    total = len(splits.train.pictures) + len(splits.validation.pictures) + len(bad)
    summary = f"{dataset.name}: {len(bad)} of {total} pictures cannot be opened"
    if len(bad) > MAX_UNREADABLE * total:
        shown = "; ".join(map(str, bad[:3]))
        raise DataError(f"{summary}, more than {MAX_UNREADABLE:.0%}: {shown}; ...")
    if bad:
        log.warning("%s and are left out (unreadable.csv), the first is %s", summary, bad[0])


def _write_splits(splits: TrainingSplits, folder: Path) -> None:
    splits.write_csv(folder / "split.csv")
    if splits.unreadable:
        with (folder / "unreadable.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "reason"])
            writer.writerows((error.source, error.reason) for error in splits.unreadable)


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
        + f"; {recipe.epochs} epochs, {steps:,} steps of {batch_size} pictures; about "
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
