"""The experiments of the course's two notebooks, run with foodvision, beside the course's figures.

A dataset and pretrained weights come in; a `Course` goes out. An experiment that they do not allow
is a row that says what is missing.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset, load_dataset
from foodvision.errors import DataError, FoodvisionError, ModelError, RunInterruptedError
from foodvision.evaluation import evaluate, make_report_folder
from foodvision.evaluation.compare import held_out_images
from foodvision.evaluation.seen import seen_by
from foodvision.paper.collapse import CHANGES, AnswersAfterEpoch, answers_by_epoch
from foodvision.paper.course_data import course_cut
from foodvision.paper.course_figures import (
    EXPERIMENTS,
    ORIGINALS,
    SCRATCH_COURSE,
    SCRATCH_WHY,
    SIZES,
    SPEED,
    Kind,
    Original,
)
from foodvision.paper.course_score import BothWays, count_both_ways
from foodvision.paper.course_sizes import count_sizes, measure_times
from foodvision.paper.course_table import Course, Row
from foodvision.training.run import train
from foodvision.training.run_folder import RunFolder
from foodvision.training.settings import load_recipe
from foodvision.weights.from_torchvision import weight_name, weights_of_file
from foodvision.weights.source import read_checkpoint

log = logging.getLogger(__name__)

THEIR_RECIPE, OUR_RECIPE = "scratch_course", "scratch"
SEEDS = (0, 1, 2)
"""Of our runs from scratch."""

THEIR_RECIPE_DIFFERS = (
    "initial weights and position embeddings are ours, LayerNorm's ε is the paper's, dropout also "
    "follows the attention, an incomplete last batch is dropped"
)
OUR_RECIPE_DIFFERS = (
    "a smaller network at 64 px, augmentation, mixed images, Muon, warm-up, 150 epochs; 15 % of "
    "the training images choose the epoch and the temperature"
)
PROBE_DIFFERS = (
    "the head is fitted by L-BFGS until it converges, 15 % of the training images choose its L2 "
    "penalty and temperature"
)


def run_course(
    data: str | Path | Dataset,
    weights: Sequence[str] = (),
    experiments: Sequence[str] = (),
    out: str | Path | None = None,
    device: str = "auto",
) -> Course:
    """Run experiments of the course on cuts of a dataset, and write course.json and course.md.

    Args:
        data: a dataset, or what `load_dataset` takes: pizza, steak and sushi, or Food-101.
        weights: pretrained weights, see `read_checkpoint`. Each experiment takes those of its
            kind: a ViT's, a ViT's at 384 px or more, or any other network's in place of
            EfficientNet-B2's.
        experiments: some of `EXPERIMENTS`; none for all but `SCRATCH_WHY`.
        out: the folder of the runs; those that it holds already are not repeated.
            ``runs/DATA-course`` if None.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        FoodvisionError: if there is no such experiment, none can be run, or one fails.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped it.

    """
    if unknown := [name for name in experiments if name not in EXPERIMENTS]:
        raise FoodvisionError(f"no experiment {unknown[0]!r}: there are {', '.join(EXPERIMENTS)}")
    wanted = experiments or [name for name in EXPERIMENTS if name != SCRATCH_WHY]
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    sources = _by_kind(weights)
    folder = make_report_folder(out or f"runs/{dataset.name}-course")
    figures = list(count_sizes()) if SIZES in wanted else []
    if SPEED in wanted:
        figures += measure_times(held_out_images(dataset)[1], device)
    try:
        rows, epochs = _run(dataset, sources, wanted, folder, device)
    except RunInterruptedError as error:
        raise RunInterruptedError("interrupted; run the same command again to continue") from error
    if rows and not figures and not any(row.ours for row in rows):
        raise FoodvisionError(f"nothing can be run: {rows[0].why}")
    course = Course(dataset.name, rows, epochs, figures)
    course.save(folder)
    return course


def _run(
    dataset: Dataset,
    sources: Mapping[str, Kind],
    wanted: Collection[str],
    out: Path,
    device: str,
) -> tuple[list[Row], dict[str, list[AnswersAfterEpoch]]]:
    """The rows of all experiments that end in a score, and the epochs of the course's recipe."""
    rows: list[Row] = []
    epochs: dict[str, list[AnswersAfterEpoch]] = {}
    names = {*wanted, *([SCRATCH_COURSE] if SCRATCH_WHY in wanted else [])}
    chosen = [original for original in ORIGINALS if original.name in names]
    for original in sorted(chosen, key=lambda original: original.name == SCRATCH_COURSE):
        try:
            cut, own = course_cut(dataset, original)
        except DataError as error:
            rows.append(Row(original, f"{dataset.name} {error}"))
            continue
        images = "the course's images" if own else f"a cut of {dataset.name}"
        if original.name == SCRATCH_COURSE:  # the slowest comes last
            epochs = dict(_by_their_recipe(cut, SCRATCH_WHY in wanted, device))
            last = epochs[SCRATCH_COURSE][-1]
            model = f"after epoch {last.epoch}"
            found = [Row(original, THEIR_RECIPE_DIFFERS, model, last.score)]
        elif original.start is None:
            found = list(_by_our_recipe(original, cut, out, device))
        else:
            kind = original.start.kind
            found = [
                _probe(original, source, cut, out, device)
                for source in sources
                if sources[source] == kind
            ]
        rows += [replace(row, why=f"{images}; {row.why}") for row in found]
        if not found and original.start:
            rows.append(Row(original, f"give --weights {original.start.weights}"))
    return sorted(rows, key=lambda row: ORIGINALS.index(row.original)), epochs


def _by_kind(weights: Iterable[str]) -> dict[str, Kind]:
    """What each source of weights is for; read now, so a mistyped one fails before the work."""
    kinds: dict[str, Kind] = {}
    for source in weights:
        try:
            checkpoint = read_checkpoint(source)
        except ModelError as error:
            raise ModelError(f"{source}: {error}") from error
        vit, large = checkpoint.config.family == "vit", checkpoint.spec.height >= 384
        kinds[source] = ("vit_384" if large else "vit") if vit else "cnn"
    return kinds


def _by_their_recipe(
    cut: Dataset, changed: bool, device: str
) -> Iterator[tuple[str, list[AnswersAfterEpoch]]]:
    """The course's recipe as it is, and then what the paper's training has beside it."""
    recipes = {SCRATCH_COURSE: dict[str, Any]()} | (CHANGES if changed else {})
    for name, changes in recipes.items():
        log.info("the course's recipe: %s", name)
        yield name, answers_by_epoch(cut, load_recipe(THEIR_RECIPE, changes), device)


def _by_our_recipe(original: Original, cut: Dataset, out: Path, device: str) -> Iterator[Row]:
    for seed in SEEDS:
        log.info("%s, seed %d", original.name, seed)
        classifier = _train(cut, OUR_RECIPE, out / f"{original.name}-{seed}", device, seed=seed)
        yield Row(original, OUR_RECIPE_DIFFERS, f"seed {seed}", _score(classifier, cut))


def _probe(original: Original, source: str, cut: Dataset, out: Path, device: str) -> Row:
    name, why = _published_name(source), PROBE_DIFFERS
    log.info("%s: %s", original.name, name)
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    classifier = _train(cut, "probe", out / f"{original.name}-{slug}", device, weights=source)
    if original.start and name != original.start.weights:
        why += f"; {name} in place of {original.start.weights}"
    if seen := seen_by(source):
        n = sum(hashlib.sha256(image.read()).hexdigest() in seen for image in cut.splits["test"])
        why += f"; {name} was trained on or chosen by {n} of these test images" if n else ""
    return Row(original, f"{why}; {original.training}", name, _score(classifier, cut))


def _train(
    cut: Dataset, recipe: str, folder: Path, device: str, **settings: Any
) -> TorchClassifier:
    """Train, or take what an earlier call has trained there."""
    resume = RunFolder(folder).exists()
    return train(cut, recipe, folder, device, resume=resume, **settings).classifier


def _score(classifier: TorchClassifier, cut: Dataset) -> BothWays:
    report = evaluate(classifier, cut, "test")
    images = sorted(report.images, key=lambda image: report.classes.index(image.true))
    return count_both_ways(
        [image.log_loss for image in images], [image.predicted == image.true for image in images]
    )


def _published_name(source: str) -> str:
    """Of a file of torchvision's the name of the weights; without the folders of any other path."""
    published = weights_of_file(Path(source).name)
    if published:
        return f"torchvision:{weight_name(published)}"
    return Path(source).name if Path(source).exists() else source
