"""One training run: from a data set and a recipe to a folder that holds the best model."""

from __future__ import annotations

import copy
import logging
import os
import shlex
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from foodvision.backends.device import choose_device, decide_precision, keep_freed_memory
from foodvision.classifier import Classifier
from foodvision.data import Dataset, LabelledImages, TrainingSplits, load_dataset, training_splits
from foodvision.errors import DataError, FoodvisionError, ImageError, RunInterruptedError
from foodvision.metrics import Metrics, RunningMetrics
from foodvision.models.network import Network
from foodvision.plots import plot_curves
from foodvision.probing.features import Features
from foodvision.probing.head import Head, Strength, fit_head
from foodvision.training.fit import fit
from foodvision.training.loop import Epoch, class_weights
from foodvision.training.recipe import Recipe, load_recipe, unchanged
from foodvision.training.run_folder import RunFolder
from foodvision.training.start import Start, starting_point
from foodvision.training.trackers import check_trackers

log = logging.getLogger(__name__)

MAX_UNREADABLE = 0.05
"""Share of training images that may fail to open before a run stops."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run has left.

    Attributes:
        classifier: of the epoch, or the L2 strength, with the lowest validation log loss.
        history: of every epoch; of every strength where L-BFGS has fitted the head.
        metrics: of the classifier on the validation images: in float32, or where L-BFGS has
            fitted the head, in the precision of its features.
        folder: where all of it is written.

    """

    classifier: Classifier
    history: list[Epoch] | list[Strength]
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
            where weights are given, or for the run's own when it is resumed.
        out: a folder that is empty or not there, or that of the run to resume;
            ``runs/DATA-RECIPE`` if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        resume: go on with an interrupted run, to the same result as if it had not been. Settings
            other than the run's are refused, but for those that do not change the result.
        show_groups: print the parameter groups first: which layers have which learning rate.
        settings: changes to the recipe, such as ``epochs=10``; see `Recipe`.

    Raises:
        FoodvisionError: with one line that says what is wrong and what to do.
        RunInterruptedError: if Ctrl-C or SIGTERM has stopped it; it can be resumed.

    """
    dataset = load_dataset(data)
    usual = recipe or ("finetune" if settings.get("weights") else "scratch")
    folder = RunFolder(Path(out or f"runs/{dataset.name}-{Path(usual).stem}"))
    chosen = (
        unchanged(folder.recipe(), recipe, settings) if resume else load_recipe(usual, settings)
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
    chosen = _decided(chosen, target)
    with accelerator.main_process_first():  # the others find what it has downloaded
        start = starting_point(chosen, dataset.classes)
    if accelerator.is_main_process:
        if resume:
            folder.check_start(start.sha256)
        else:
            folder.claim(chosen, start.sha256)
    lock = folder.locked() if accelerator.is_main_process else nullcontext()
    command = ["foodvision", "train", str(data)]
    command += ["--device", device] if device != "auto" else []
    go_on = f"go on with: {shlex.join([*command, '--out', str(folder.path), '--resume'])}"
    try:
        with lock:
            accelerator.wait_for_everyone()
            return _run(dataset, chosen, start, folder, accelerator, go_on, show_groups)
    except KeyboardInterrupt as error:  # before the first step or after the last
        raise RunInterruptedError(f"stopped; {go_on}") from error


def _run(
    dataset: Dataset,
    chosen: Recipe,
    start: Start,
    folder: RunFolder,
    accelerator: Accelerator,
    go_on: str,
    show_groups: bool,
) -> TrainingResult:
    """All of a run once its folder is claimed."""
    splits = training_splits(dataset, chosen.seed, chosen.validation_fraction, chosen.fraction)
    _check_unreadable(dataset, splits)
    if accelerator.is_main_process:
        with folder.writing():
            folder.write_splits(splits)
        if "test" in dataset.splits:
            log.info("%s images of the test stay closed", f"{len(dataset.splits['test']):,}")
    metadata = _metadata(dataset, splits, chosen, start)

    def for_the_user(network: Network) -> Classifier:
        """A copy, the class weights' shift taken out of its logits."""
        copied = copy.deepcopy(network).cpu().requires_grad_()
        with torch.no_grad():
            copied.head.bias -= torch.tensor(class_weights(splits.train.images, chosen)).log()
        return Classifier(copied, start.spec, dataset.classes, metadata)

    history: list[Epoch] | list[Strength]
    if chosen.optimizer == "lbfgs":
        head = _probe(start, splits, chosen, accelerator)
        classifier = for_the_user(start.network).to(accelerator.device.type)
        history, metrics = head.tried, head.metrics
    else:

        def keep(best: Network) -> None:
            for_the_user(best).save(folder.path)

        history = fit(start, splits, chosen, folder, accelerator, keep, go_on, show_groups)
        classifier = Classifier.load(folder.path, str(accelerator.device.type))
        metrics = _measure(classifier, splits.validation.images)
    classifier.metadata["metrics"] = metrics.to_dict()
    if accelerator.is_main_process:
        with folder.writing():
            classifier.save(folder.path)
            folder.write_json("metrics.json", metrics.to_dict())
            rows = [past.to_dict() for past in history]
            folder.write_history(rows)
            if chosen.optimizer != "lbfgs":
                plot_curves(rows, folder.path / "curves.png")
    best = min([*history], key=lambda past: past.log_loss)
    log.info("best of %d: %s; on validation: %s", len(history), best.name, metrics)
    return TrainingResult(classifier, history, metrics, folder.path)


def _probe(start: Start, splits: TrainingSplits, recipe: Recipe, accelerator: Accelerator) -> Head:
    """Fit the head alone, on features that are computed once."""
    network, (train, validation) = start.network, (splits.train, splits.validation)
    network.to(accelerator.device).eval()
    features = Features(network, start.spec, recipe.precision, recipe.batch_size)
    if accelerator.num_processes > 1:  # each computes its share, and finds the others' on disk
        for inventory in (train, validation):
            mine = range(
                accelerator.process_index, len(inventory.sha256), accelerator.num_processes
            )
            features.compute(inventory.subset(mine))
        accelerator.wait_for_everyone()
    # Every process fits the same: waiting for one of them would have a time limit.
    head = fit_head(
        (features.of(train), train.images.labels),
        (features.of(validation), validation.images.labels),
        train.images.classes,
        class_weights(train.images, recipe),
    )
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))
    return head


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


def _metadata(
    dataset: Dataset, splits: TrainingSplits, recipe: Recipe, start: Start
) -> dict[str, Any]:
    return {
        "recipe": recipe.model_dump(),
        "start": start.sha256,
        "data": {
            "name": dataset.name,
            "train": len(splits.train.images),
            "validation": len(splits.validation.images),
            "unreadable": len(splits.unreadable),
            "fingerprint": splits.train.fingerprint(),
        },
        "versions": {name: version(name) for name in ("foodvision", "torch", "torchvision")},
    }


def _check_unreadable(dataset: Dataset, splits: TrainingSplits) -> None:
    bad = splits.unreadable
    total = len(splits.train.images) + len(splits.validation.images) + len(bad)
    summary = f"{dataset.name}: {len(bad)} of {total} images cannot be opened"
    if len(bad) > MAX_UNREADABLE * total:
        shown = "; ".join(map(str, bad[:3]))
        raise DataError(f"{summary}, more than {MAX_UNREADABLE:.0%}: {shown}; ...")
    if bad:
        log.warning("%s and are left out (unreadable.csv), the first is %s", summary, bad[0])


def _measure(classifier: Classifier, images: LabelledImages) -> Metrics:
    running = RunningMetrics(classifier.classes)
    for label, logits in zip(
        images.labels, classifier.logits(example.source for example in images), strict=True
    ):
        if isinstance(logits, ImageError):  # it opened when the run began
            raise logits
        running.update(logits[None], label[None])
    return running.result()
