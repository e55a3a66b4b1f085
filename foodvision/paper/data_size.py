"""Figures 3 and 4 in miniature: what a larger pretraining set brings to another task.

A dataset to pretrain on, cut to several sizes, and a dataset to transfer to come in; for each cut
go out the test figures after fine-tuning (Figure 3) and the few-shot accuracy of the frozen
features (Figure 4).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset, load_dataset
from foodvision.data.dataset import FLAT
from foodvision.data.inventory import take_inventory
from foodvision.errors import DataError, FoodvisionError, RecipeError, RunInterruptedError
from foodvision.evaluation import evaluate, make_report_folder
from foodvision.evaluation.history import read_history
from foodvision.files.atomic import write_json
from foodvision.files.read import read_json
from foodvision.models.network import build_network
from foodvision.paper.data_size_table import Cut, DataSizes, Point
from foodvision.paper.few_shot import evaluate_few_shot
from foodvision.paper.kept_runs import plan_once, train_once
from foodvision.training.plan import Plan
from foodvision.training.randomness import INITIAL_WEIGHTS, seeded
from foodvision.training.recipe import Recipe
from foodvision.training.run_folder import RECIPE
from foodvision.training.settings import CHANGEABLE, load_recipe

log = logging.getLogger(__name__)

FRACTIONS = (0.0, 0.01, 0.1, 0.3, 1.0)
WIDTHS = (96,)
"""Half of Ti's: as the paper's ViT-b is half as wide as ViT-B."""

SHOTS = 5
"""Images of each class for the few-shot accuracy, as in Figure 4."""

PRETRAINING, TRANSFER = "scratch", "finetune"
"""Recipes."""

SETTINGS: dict[str, Any] = {
    "num_layers": 4,
    "image_size": 32,
    "epochs": 3,
    "mix_probability": 0.0,
    "auto_augment": "none",
    "stochastic_depth": 0.0,
    "label_smoothing": 0.1,
    "validation_fraction": 0.03,
}
"""Changes to `PRETRAINING`: minutes for Food-101's thumbnails, without what makes long runs better.

They are the same for all cuts, as in Figure 4, so a small cut takes few steps as well; the epoch
with the best validation is kept, which is early stopping.
"""

DECIDED = {
    "seed": "--seeds",
    "fraction": "--fraction",
    "hidden_size": "--width",
    "classes": "--to",
    "exclude_classes": "--to",
}
"""Settings that cannot be changed, and the argument that decides each."""

SHARED = "shared.json"
"""Name of the file that says what all runs of a folder share: images and settings."""

UNTRAINED = {"layer_decay": 1.0}
"""Changes to `TRANSFER` if there was no pretraining: there is nothing to preserve in the layers."""


def measure_data_sizes(
    data: str | Path | Dataset,
    to: str | Path | Dataset,
    fractions: Sequence[float] = FRACTIONS,
    widths: Sequence[int] = WIDTHS,
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    device: str = "auto",
) -> DataSizes:
    """Pretrain on cuts of a dataset, and transfer each network to another dataset.

    Args:
        data: a dataset to pretrain on, or what `load_dataset` takes. Classes that `to` has as well
            are left out.
        to: a dataset with train and test splits to transfer to, or what `load_dataset` takes.
        fractions: shares of each class's training images to pretrain on, in 0-1; at 0 the network
            has its initial weights. A smaller cut is a subset of a larger one.
        widths: hidden sizes D of the networks.
        seeds: how often each is pretrained and transferred.
        settings: changes to `SETTINGS`, such as ``epochs=12``.
        out: the folder of the runs, data-size.json, .md and .png; runs that it holds are not
            repeated. ``runs/DATA-to-TO-data-size`` if None, with the names of both datasets.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        DataError: if classes, splits or images are missing.
        FoodvisionError: if a fraction is impossible, or a run fails.
        RecipeError: if a setting is impossible or in `DECIDED`, or images or settings are not those
            of the runs in `out`.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped it.

    """
    changes = SETTINGS | dict(settings or {})
    for name, argument in DECIDED.items():
        if name in changes:
            raise RecipeError(f"{name} cannot be set here: {argument} sets it")
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise FoodvisionError(f"fraction {fraction:g}: it must be in 0 to 1")
    for width in widths:
        load_recipe(PRETRAINING, changes | {"hidden_size": width})
    source = data if isinstance(data, Dataset) else load_dataset(data)
    target = to if isinstance(to, Dataset) else load_dataset(to)
    source = _without_target(source, target)
    folder = make_report_folder(out or f"runs/{source.name}-to-{target.name}-data-size")
    _check_shared(folder, source, target, changes)
    each = product(sorted(set(widths)), sorted(set(fractions)), range(seeds))
    cuts = {Cut(w, f, seed): folder / f"{w}-{f:g}-{seed}" for w, f, seed in each}
    plans: dict[Cut, Plan] = {}
    for cut, path in cuts.items():  # whatever can be refused is refused before the first step
        own = changes | {"hidden_size": cut.width, "seed": cut.seed}
        if cut.fraction:
            own["fraction"] = cut.fraction
            plans[cut] = plan_once(source, PRETRAINING, path, device, own)
        else:
            _save_untrained(source, load_recipe(PRETRAINING, own), path)
        if _tuned(path).exists():
            _plan_transfer(cut, path, target, device)
    found = DataSizes(source.name, len(source.classes), target.name, SHOTS)
    try:
        # A tracker or a device may refuse a pretraining run at its beginning: these come first.
        for cut in sorted(cuts, key=lambda cut: cut not in plans):
            log.info("%s: %s", source.name, cut)
            if cut in plans:
                train_once(plans[cut])
            point = _transfer(cut, cuts[cut], target, device)
            points = sorted([*found.points, point], key=lambda point: point.cut)
            found = replace(found, points=points)
            found.save(folder)  # hours may lie between two points
    except RunInterruptedError as error:
        raise RunInterruptedError("interrupted; run the same command again to continue") from error
    return found


def _without_target(source: Dataset, target: Dataset) -> Dataset:
    """The dataset to pretrain on, after a check of everything that would fail after hours."""
    for split in ("train", "test"):
        if split not in target.splits:
            raise DataError(
                f"{target.name}: has no {split} split, only {', '.join(target.splits)}; make one "
                "with 'foodvision data split'"
            )
    name, fewest = min(target.splits["train"].counts().items(), key=lambda pair: pair[1])
    if fewest < SHOTS:
        raise DataError(f"{target.name}: {name} has {fewest} training images, not {SHOTS}")
    left = [name for name in source.classes if name not in target.classes]
    if len(left) < 2:
        raise DataError(
            f"{source.name}: fewer than two classes to pretrain on are not in {target.name}"
        )
    return source.restricted(left)


def _check_shared(
    folder: Path, source: Dataset, target: Dataset, settings: Mapping[str, Any]
) -> None:
    """Write down what all runs in the folder share; refuse runs that share something else."""
    pretraining = load_recipe(PRETRAINING, settings)
    transfer = load_recipe(TRANSFER, {"weights": "those of the cut"})
    shared = {
        "pretraining images": _fingerprints(source, "train", FLAT, "validation"),
        "transfer images": _fingerprints(target, "train", "validation", "test"),
        "transfer recipe": transfer.model_dump(mode="json"),
        **pretraining.model_dump(mode="json", exclude={*CHANGEABLE}),
    }
    path = folder / SHARED
    try:
        if not any(folder.glob(f"*/{RECIPE}")):
            write_json(path, shared)
        before = dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FoodvisionError(f"{path}: {reason}; choose another --out") from error
    for name, now in shared.items():
        if before.get(name) != now:
            raise RecipeError(
                f"{folder}: its runs differ from these in {name}; choose another --out"
            )


def _fingerprints(dataset: Dataset, *splits: str) -> list[str]:
    """Of the images and classes of these splits, as far as the dataset has them."""
    return [
        take_inventory(dataset.splits[split], opened=False).fingerprint()
        for split in splits
        if split in dataset.splits
    ]


def _plan_transfer(cut: Cut, path: Path, target: Dataset, device: str) -> Plan:
    """Fine-tuning of the network in `path`; what was tuned from another one is refused."""
    if not path.exists():
        raise FoodvisionError(f"{path}: is missing; delete what was tuned from it, {_tuned(path)}")
    changes = {"weights": str(path), "seed": cut.seed, **({} if cut.fraction else UNTRAINED)}
    return plan_once(target, TRANSFER, _tuned(path), device, changes)


def _tuned(path: Path) -> Path:
    """The folder of the transfer run."""
    return path.with_name(f"{path.name}-finetuned")


def _save_untrained(source: Dataset, recipe: Recipe, path: Path) -> None:
    """A model with initial weights, so that nothing else differs."""
    with seeded(recipe.seed, INITIAL_WEIGHTS):
        network = build_network(recipe.vit_config(len(source.classes)))
    TorchClassifier(network, recipe.image_spec(), source.classes).save(path)


def _transfer(cut: Cut, path: Path, target: Dataset, device: str) -> Point:
    """Fine-tune and measure the network of `path`, and its features as they are."""
    train_once(_plan_transfer(cut, path, target, device))
    report = evaluate(TorchClassifier.load(_tuned(path), device), target, "test")
    few = evaluate_few_shot(str(path), target, [SHOTS], device=device)
    pretrained = TorchClassifier.read(path).info
    return Point(
        cut=cut,
        images=pretrained.data.train if pretrained.data else 0,
        parameters=pretrained.parameters or 0,
        n=report.n,
        log_loss=report.log_loss,
        accuracy=report.accuracy,
        accuracy_ci95=report.accuracy_ci95,
        few_shot=few.rows[0].accuracy,
        pretraining_accuracy=pretrained.metrics.accuracy if pretrained.metrics else None,
        seconds=math.fsum(epoch["seconds"] for epoch in read_history(path)),
    )
