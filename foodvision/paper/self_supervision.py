"""Section 4.6 in miniature: pretraining on the same images, without their labels.

A dataset comes in. A network is trained on it from scratch, and the same network once more from the
weights that predicting hidden patches of the same images gave it; with a teacher (DeiT, arXiv
2012.12877), both once more with its answers beside the labels. The test figures of all go out.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset, load_dataset
from foodvision.errors import DataError, FoodvisionError, RecipeError, RunInterruptedError
from foodvision.evaluation import evaluate, make_report_folder
from foodvision.evaluation.history import read_history
from foodvision.evaluation.significance import bootstrap_means, percentile_interval
from foodvision.evaluation.tables import Table, spread
from foodvision.files.atomic import cannot_write, replacing, write_json
from foodvision.metrics import wilson_interval
from foodvision.paper.kept_runs import check_images, plan_once, train_once
from foodvision.progress import duration
from foodvision.training.recipe import SCRATCH_DEFAULTS, Recipe
from foodvision.training.settings import load_recipe

log = logging.getLogger(__name__)

SETTINGS: dict[str, Any] = {
    "num_layers": 4,
    "epochs": 15,
    "auto_augment": "none",
    "mix_probability": 0.0,
    "stochastic_depth": 0.0,
    "ema_decay": 0.99,
}
"""Changes to `scratch`: minutes, without what makes long runs better."""

PRETRAINING: dict[str, Any] = {"epochs": 30}
"""Changes to `pretrain`, whose network and images are those of the training from scratch."""

PAPER = {
    "labels alone": 0.7791,
    "hidden patches first": 0.799,
    "labels of more images first": 0.8397,
}
"""Accuracy on ImageNet of B/16: from scratch (Table 5), after predicting hidden patches (section
4.6), and after supervised pretraining on ImageNet-21k (Table 5), which is not trained here."""

SCRATCH, PRETRAINED, _ = PAPER
TAUGHT, BOTH = "a teacher too", "hidden patches first, then a teacher too"

RUNS = {
    SCRATCH: ["scratch"],
    PRETRAINED: ["finetuned", "pretrained"],
    TAUGHT: ["taught"],
    BOTH: ["both", "pretrained"],
}
"""The runs of each way, the one that is measured first."""

FILES = "self-supervision"
"""Name of the files, without their suffixes."""


@dataclass(frozen=True)
class Outcome:
    """One way to train, with one run for each seed.

    Attributes:
        way: ``labels alone`` or another constant above.
        log_losses: on the test images, in nats.
        accuracies: on these in 0-1.
        losses: of each test image, mean over the seeds.
        seconds: of all its runs, with their pretraining.
        change: of the mean log loss against labels alone, in nats; below 0, this way is better.
        interval: of `change`, a paired bootstrap over the test images at 95 %.

    """

    way: str
    log_losses: list[float]
    accuracies: list[float]
    losses: list[float]
    seconds: float
    change: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)

    def against(self, other: Outcome) -> Outcome:
        """The same, with `change` and `interval` against another way."""
        change = np.subtract(self.losses, other.losses)
        interval = percentile_interval(bootstrap_means(change[None])[0])
        return replace(self, change=float(change.mean()), interval=interval)


@dataclass(frozen=True)
class SelfSupervision:
    """What was measured.

    Attributes:
        data: name of the dataset.
        images: training images of the first seed, for pretraining and training alike.
        n: test images.
        outcomes: of training with labels alone first.

    """

    data: str
    images: int
    n: int
    outcomes: Sequence[Outcome]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, without the losses of single images."""
        content = asdict(self)
        for outcome in content["outcomes"]:
            del outcome["losses"]
            outcome["paper"] = PAPER.get(outcome["way"])
        return content

    def table(self) -> Table:
        """One row for each way to train; of several seeds, the mean and the range."""
        rows = []
        for row in self.outcomes:
            mean = math.fsum(row.accuracies) / len(row.accuracies)
            low, high = wilson_interval(round(mean * self.n), self.n)
            rows.append(
                [
                    row.way,
                    spread(row.log_losses, ".3f"),
                    _change(row),
                    spread(row.accuracies, ".1%"),
                    f"{low:.1%} to {high:.1%}",
                    f"{PAPER[row.way]:.1%}" if row.way in PAPER else "-",
                    duration(row.seconds),
                ]
            )
        *_, (way, accuracy) = PAPER.items()
        rows.append([way, "-", "-", "-", "-", f"{accuracy:.1%}", "-"])
        seeds = len(self.outcomes[0].log_losses)
        note = (
            f"{self.images:,} training images of {self.data}, the same for all, and {self.n:,} "
            "test images. Changes are against labels alone, with the 95 % interval of a paired "
            "bootstrap over the test images: established where it leaves out 0. The paper's column "
            "is B/16 on ImageNet: only the order can be compared."
        )
        times = "one seed" if seeds == 1 else f"{seeds} seeds, mean (lowest to highest)"
        header = ["learns from", "log loss", "change", "accuracy", "95 % interval", "paper", "time"]
        return Table(f"Section 4.6 in miniature: {times}", header, rows, note)

    def save(self, folder: Path) -> None:
        """Write self-supervision.json and .md.

        Raises:
            FoodvisionError: if they cannot be written.

        """
        try:
            write_json(folder / f"{FILES}.json", self.to_dict())
            with replacing(folder / f"{FILES}.md") as path:
                path.write_text(f"{self.table().to_markdown()}\n", encoding="utf-8")
        except OSError as error:
            raise FoodvisionError(cannot_write(folder, error)) from error


def measure_self_supervision(
    data: str | Path | Dataset,
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    pretraining: Mapping[str, Any] | None = None,
    teacher: str | None = None,
    out: str | Path | None = None,
    device: str = "auto",
) -> SelfSupervision:
    """Train from scratch and with self-supervised pretraining, and measure both on the test split.

    Args:
        data: a dataset with train and test splits, or what `load_dataset` takes.
        seeds: how often each is trained, each time with another validation split.
        settings: changes to `SETTINGS`, such as ``epochs=60``.
        pretraining: changes to `PRETRAINING`, such as ``epochs=100``.
        teacher: a model that knows the classes; None trains without.
        out: the folder of the runs, self-supervision.json and .md; runs that it holds are not
            repeated. ``runs/DATA-self-supervision`` if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        DataError: if splits or images are missing.
        FoodvisionError: if a run fails.
        ModelError: if the teacher cannot be loaded, or lacks a class.
        RecipeError: if a setting is impossible, or not that of the runs in `out`.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped it.

    """
    labels = load_recipe("scratch", SETTINGS | dict(settings or {}))
    before = _network(labels)
    for name in pretraining or {}:
        if name in before or name == "seed":
            raise RecipeError(f"{name} cannot be set for the pretraining alone: --set sets it")
    before |= PRETRAINING | dict(pretraining or {})
    load_recipe("pretrain", before)
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    for split in ("train", "test"):
        if split not in dataset.splits:
            raise DataError(
                f"{dataset.name}: has no {split} split, only {', '.join(dataset.splits)}; make one "
                "with 'foodvision data split'"
            )
    folder = make_report_folder(out or f"runs/{dataset.name}-{FILES}")
    seen = range(labels.seed, labels.seed + seeds)
    try:
        for seed in seen:
            own = labels.model_dump() | {"seed": seed}
            finetuning = _from_weights(own, folder / f"pretrained-{seed}")
            steps = {
                "scratch": ("scratch", own),
                "pretrained": ("pretrain", before | {"seed": seed}),
                "finetuned": ("finetune", finetuning),
            }
            if teacher:
                steps["taught"] = ("distil", own | {"teacher": teacher})
                steps["both"] = ("finetune", finetuning | {"teacher": teacher})
            for name, (recipe, changes) in steps.items():
                log.info("%s: %s, seed %d", dataset.name, name, seed)
                plan = plan_once(dataset, recipe, folder / f"{name}-{seed}", device, changes)
                check_images(plan)
                train_once(plan)
    except RunInterruptedError as error:
        raise RunInterruptedError("interrupted; run the same command again to continue") from error
    outcomes = []
    for way, names in RUNS.items():
        if teacher or way in PAPER:
            runs = [[folder / f"{name}-{seed}" for name in names] for seed in seen]
            outcomes.append(_measure(way, runs, dataset, device))
    images = TorchClassifier.read(folder / f"scratch-{labels.seed}").info.data
    found = SelfSupervision(
        data=dataset.name,
        images=images.train if images else 0,
        n=len(outcomes[0].losses),
        outcomes=[outcomes[0], *(outcome.against(outcomes[0]) for outcome in outcomes[1:])],
    )
    found.save(folder)
    return found


def _network(labels: Recipe) -> dict[str, Any]:
    """The settings of network and images, and of the data."""
    names = (*SCRATCH_DEFAULTS, "num_layers", "hidden_size", "fraction", "validation_fraction")
    return {name: getattr(labels, name) for name in (*names, "classes", "exclude_classes")}


def _from_weights(settings: dict[str, Any], weights: Path) -> dict[str, Any]:
    """The same settings from pretrained weights, which bring their network."""
    brought = (*SCRATCH_DEFAULTS, "num_layers", "hidden_size")
    kept = {name: value for name, value in settings.items() if name not in brought}
    return kept | {"method": "finetune", "weights": str(weights)}


def _change(outcome: Outcome) -> str:
    if outcome.way == SCRATCH:
        return "-"
    low, high = outcome.interval
    return f"{outcome.change:+.3f} ({low:+.3f} to {high:+.3f})"


def _measure(way: str, runs: Sequence[Sequence[Path]], dataset: Dataset, device: str) -> Outcome:
    """The test figures of each seed's last run, and the time of all."""
    reports = [evaluate(TorchClassifier.load(last, device), dataset, "test") for last, *_ in runs]
    of_images = [[image.log_loss for image in report.images] for report in reports]
    return Outcome(
        way=way,
        log_losses=[report.log_loss for report in reports],
        accuracies=[report.accuracy for report in reports],
        losses=np.mean(of_images, axis=0).tolist(),
        seconds=math.fsum(
            epoch["seconds"] for paths in runs for path in paths for epoch in read_history(path)
        ),
    )
