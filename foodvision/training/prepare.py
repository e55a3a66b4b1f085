"""All that a run needs before its first step: images, network, settings, devices, and a folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from platform import node
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from foodvision.classifier.headless import Headless
from foodvision.classifier.info import ModelInfo, TrainingData
from foodvision.classifier.licence import without_folders
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset, TrainingSplits, load_dataset, training_splits
from foodvision.errors import DataError
from foodvision.models.network import Network, build_network
from foodvision.training.batches import MAX_UNREADABLE
from foodvision.training.loss import class_weights
from foodvision.training.plan import PRETRAIN, Follower, Plan
from foodvision.training.ranks import from_rank_0, once_per_machine
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import RunFolder
from foodvision.training.start import Start

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run before its first step.

    Attributes:
        dataset: whose classes are learnt.
        splits: what to learn from, and what to choose the best model by.
        recipe: every setting; its precision is decided (bf16 or float32).
        start: the network, and how its images are prepared.
        folder: claimed by this run.
        accelerator: devices and processes.
        training: from which weights, which layers and how long, in a few words.
        resume_command: see `Plan`.
        show_groups: print the parameter groups first.

    """

    dataset: Dataset
    splits: TrainingSplits
    recipe: Recipe
    start: Start
    folder: RunFolder
    accelerator: Accelerator
    training: str
    resume_command: str
    show_groups: bool

    def info(self) -> ModelInfo:
        """What is known of the model before it is measured."""
        return ModelInfo(
            data=TrainingData(
                name=self.dataset.name,
                train=len(self.splits.train.images),
                validation=len(self.splits.validation.images),
                unreadable=len(self.splits.unreadable),
                fingerprint=self.splits.train.fingerprint(),
            ),
            training=self.training,
            recipe=self.recipe.model_dump(mode="json"),
            start=self.start.sha256,
            origin=self.start.licence.origin,
            origins_of_teachers=self.start.licence.origins_of_teachers,
            teacher=self.start.teacher.info if self.start.teacher else None,
            versions={name: version(name) for name in ("foodvision", "torch", "torchvision")},
        )

    def export(self, state: Mapping[str, Any]) -> TorchClassifier | Headless:
        """What is saved of `Training.state_dict`: a classifier, or, pretraining, no head.

        Its weights are the averaged ones, if there are such.
        """
        tensors = state["average"] or state["network"]
        if self.recipe.method != "pretrain":
            return self.classifier(tensors)
        unmasked = {name: tensor for name, tensor in tensors.items() if name != "mask"}
        return Headless(self._network(unmasked), self.start.spec, self.info())

    def classifier(self, tensors: Mapping[str, Tensor]) -> TorchClassifier:
        """A classifier with copies of a network's tensors, and logits free of class weights."""
        network = self._network(tensors)
        weights = class_weights(self.splits.train.images, self.recipe)
        with torch.no_grad():
            network.head.bias.sub_(torch.tensor(weights).log())
        return TorchClassifier(network, self.start.spec, self.dataset.classes, self.info())

    def _network(self, tensors: Mapping[str, Tensor]) -> Network:
        network = build_network(self.start.network.config, empty=True)
        copies = {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
        network.load_state_dict(copies, assign=True)
        return network


def told(asked: Plan | Follower) -> Plan:
    """Rank 0's plan, on every rank with its own dataset and device.

    Raises:
        DataError: if the dataset on this rank's machine has other classes.

    """

    def without_images() -> Plan:
        assert isinstance(asked, Plan)
        return replace(asked, dataset=replace(asked.dataset, splits={}, left_out=()))

    planned = from_rank_0(without_images)
    if isinstance(asked, Plan):
        return asked
    data, recipe = asked.data, planned.recipe
    if not isinstance(data, Dataset):
        data = load_dataset(data, labelled=recipe.method != PRETRAIN, test=False)
    dataset = data.restricted(recipe.classes, recipe.exclude_classes)
    if dataset.classes != planned.dataset.classes:
        raise _other_images(dataset)
    return replace(planned, dataset=dataset, device=asked.device)


def prepare(plan: Plan, recipe: Recipe, start: Start, accelerator: Accelerator) -> Run:
    """Read the images to train and validate with, and write down which is which.

    Args:
        plan: the run; its folder is claimed.
        recipe: the plan's, its precision decided.
        start: the network, and how its images are prepared.
        accelerator: devices and processes.

    Raises:
        DataError: if too many images cannot be opened, or the run began with other images.

    """
    dataset, folder = plan.dataset, plan.folder
    if plan.advice and accelerator.is_main_process:
        log.info(plan.advice)
    splits = once_per_machine(lambda: _read(dataset, recipe))
    if accelerator.num_processes > 1:
        _check_same(dataset, splits)
    if accelerator.is_main_process:
        with folder.writing():
            folder.write_splits(splits)
        if test := dataset.splits.get("test"):
            log.info("test split: %s images, not opened during training", f"{len(test):,}")
    begun = from_rank_0(folder.begun)
    return Run(
        dataset,
        splits,
        recipe,
        start,
        folder,
        accelerator,
        how_trained(recipe, begun.get("extends")),
        plan.resume_command,
        plan.show_groups,
    )


def _read(dataset: Dataset, recipe: Recipe) -> TrainingSplits:
    splits = training_splits(dataset, recipe.seed, recipe.validation_fraction, recipe.fraction)
    bad = splits.unreadable
    total = len(splits.validation.images) + len(bad)
    if not splits.train.images.stream:  # of one, only validation images have been opened
        total += len(splits.train.images)
    summary = f"{dataset.name}: {len(bad)} of {total} images cannot be opened"
    if len(bad) > MAX_UNREADABLE * total:
        shown, more = "; ".join(map(str, bad[:3])), "; ..." if len(bad) > 3 else ""
        raise DataError(f"{summary}, more than {MAX_UNREADABLE:.0%}: {shown}{more}")
    if bad:
        log.warning("%s and are left out (unreadable.csv), the first is %s", summary, bad[0])
    return splits


def _check_same(dataset: Dataset, splits: TrainingSplits) -> None:
    """Raise DataError if this machine has other images than that of rank 0."""
    mine = hashlib.sha256(splits.to_csv().encode("utf-8", "surrogateescape")).digest()
    if from_rank_0(lambda: mine) != mine:
        raise _other_images(dataset)


def _other_images(dataset: Dataset) -> DataError:
    return DataError(
        f"{dataset.name}: the images on {node()} are not those on the machine of rank 0; copy them "
        "from there"
    )


def how_trained(recipe: Recipe, extends: dict[str, Any] | None = None) -> str:
    """From which weights, which layers and how long, in a few words.

    Args:
        recipe: of the run.
        extends: see `RunFolder.begun`.

    """
    parts, plural = [], "" if recipe.epochs == 1 else "s"
    if recipe.weights:
        # Only the name of a file or folder: its path is private.
        name = recipe.weights if ":" in recipe.weights else Path(recipe.weights).name
        parts.append(f"starting from {name}")
    if recipe.trains_head_alone:
        parts.append("the head alone")
    if recipe.method == "pretrain":
        parts.append("by predicting hidden patches, without labels")
    parts.append("by L-BFGS" if recipe.method == "probe" else f"{recipe.epochs} epoch{plural}")
    if recipe.teacher:
        parts.append(f"taught by {without_folders(recipe.teacher)}")
    if extends:
        parts.append(f"the first {extends['epochs']} of them as the finished run {extends['run']}")
    return ", ".join([*parts, f"seed {recipe.seed}"])
