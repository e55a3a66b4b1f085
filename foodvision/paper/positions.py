"""Table 8 in miniature: the same small network, trained alike, with other position embeddings.

A dataset comes in; the validation figures of each variant go out. Nothing is chosen by them: each
run is measured after its last epoch, and the test split is not opened.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from foodvision.backends.device import choose_device, decide_precision, keep_freed_memory
from foodvision.data import Dataset, TrainingSplits, load_dataset, training_splits
from foodvision.errors import FoodvisionError, RecipeError
from foodvision.evaluation.tables import Table, spread
from foodvision.paper.variants import VARIANTS
from foodvision.progress import duration, progress_bar
from foodvision.training.accelerator import build_accelerator, run_processes
from foodvision.training.epoch import Epoch
from foodvision.training.loop import Training
from foodvision.training.randomness import INITIAL_WEIGHTS, seeded
from foodvision.training.recipe import Recipe
from foodvision.training.settings import load_recipe

log = logging.getLogger(__name__)

TABLE_8 = ("none", "1d", "2d", "relative", "sines")
"""The variants that are trained if none are named."""

SETTINGS: dict[str, Any] = {
    "method": "scratch",
    "num_layers": 4,
    "epochs": 15,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,  # it would act on some variants' positions and not on others'
    "label_smoothing": 0.0,
    "min_area": 0.6,
}
"""Ti width, 64 px, patches of 8 px: as `scratch` without all that makes long runs better."""

NOTE = (
    "Validation after the last epoch; the test split was not opened. The paper's column is another "
    "measure, ImageNet 5-shot accuracy of B/16: only the order can be compared."
)


@dataclass(frozen=True)
class Outcome:
    """One variant, trained once for each seed.

    Attributes:
        variant: its name in `VARIANTS`.
        parameters: trainable weights.
        n: validation images.
        log_losses: on these, one for each seed.
        accuracies: on these in 0-1, one for each seed.
        paper: see `Variant`.
        seconds: of all its runs.

    """

    variant: str
    parameters: int
    n: int
    log_losses: list[float]
    accuracies: list[float]
    paper: float | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)


def compare_positions(
    data: str | Path | Dataset,
    variants: Sequence[str] = TABLE_8,
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> list[Outcome]:
    """Train each variant from scratch on the same images, and measure it on the same others.

    Args:
        data: a dataset, or what `load_dataset` takes.
        variants: names in `VARIANTS`.
        seeds: how often each is trained, with other initial weights and another order.
        settings: changes to `SETTINGS`, such as ``epochs=30``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        DataError: if there are no images to train or to validate on.
        FoodvisionError: if there is no such variant, or a loss is not a finite number.
        RecipeError: if a setting is impossible.

    """
    for variant in variants:
        if variant not in VARIANTS:
            raise FoodvisionError(f"no variant {variant!r}: there are {', '.join(VARIANTS)}")
    recipe = load_recipe(Recipe(**SETTINGS), settings)
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    target = choose_device(device)
    recipe = recipe.model_copy(update={"precision": decide_precision(recipe.precision, target)})
    keep_freed_memory()
    # One split for all seeds: they differ in initial weights, order and augmentation.
    splits = training_splits(dataset, recipe.seed, recipe.validation_fraction, recipe.fraction)
    outcomes = []
    for variant in variants:
        began = time.perf_counter()
        runs = [
            _train(variant, recipe.model_copy(update={"seed": recipe.seed + i}), splits, target)
            for i in range(seeds)
        ]
        outcomes.append(
            Outcome(
                variant=variant,
                parameters=runs[0][0],
                n=len(splits.validation.images),
                log_losses=[last.log_loss for _, last in runs],
                accuracies=[last.accuracy for _, last in runs],
                paper=VARIANTS[variant].paper,
                seconds=time.perf_counter() - began,
            )
        )
    return outcomes


def positions_table(outcomes: Sequence[Outcome]) -> Table:
    """The variants in their order; of several seeds, the mean and the range."""
    rows = [
        [
            VARIANTS[row.variant].title,
            f"{row.parameters:,}",
            spread(row.log_losses, ".3f"),
            spread(row.accuracies, ".1%"),
            f"{row.paper:.1%}" if row.paper else "-",
            duration(row.seconds),
        ]
        for row in outcomes
    ]
    header = ["position embedding", "parameters", "log loss", "accuracy", "paper", "time"]
    seeds, n = len(outcomes[0].log_losses), outcomes[0].n
    times = "one seed" if seeds == 1 else f"{seeds} seeds, mean (lowest to highest)"
    return Table(f"Table 8 in miniature: {n:,} validation images, {times}", header, rows, NOTE)


def _train(
    variant: str, recipe: Recipe, splits: TrainingSplits, device: torch.device
) -> tuple[int, Epoch]:
    """The number of trainable weights, and the last epoch."""
    train, validation = splits.train.images, splits.validation.images
    try:
        with seeded(recipe.seed, INITIAL_WEIGHTS):
            network = VARIANTS[variant].build(recipe.vit_config(len(train.classes)))
    except ValueError as error:
        raise RecipeError(f"{variant}: {error}") from error
    parameters = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    forked = [device] if device.type == "cuda" else []
    last: Epoch | None = None
    with (
        torch.random.fork_rng(devices=forked),  # every step seeds torch's generators
        run_processes(device),
        Training(
            *(network, train, validation, recipe.image_spec(), recipe),
            build_accelerator(device, recipe, Path()),
        ) as training,
        progress_bar() as bar,
    ):
        title = f"{VARIANTS[variant].title}, seed {recipe.seed}"
        task = bar.add_task(title, total=recipe.epochs, unit="epochs", info="")
        for epoch in training.steps():
            if epoch:
                last = epoch
                bar.update(task, completed=epoch.epoch, info=f"log loss {epoch.log_loss:.3f}")
    assert last is not None  # a recipe has at least one epoch
    log.info("%s: validation log loss %.4f, %.1f %%", title, last.log_loss, 100 * last.accuracy)
    return parameters, last
