"""Compares classifiers on the same test images: quality, size, speed, and what is established."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from foodvision.backends.device import choose_device
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset, LabelledImages, load_dataset
from foodvision.data.dataset import FLAT
from foodvision.errors import DataError
from foodvision.evaluation.compared import ComparedModel
from foodvision.evaluation.comparison import Comparison
from foodvision.evaluation.evaluate import evaluate
from foodvision.evaluation.report import Report
from foodvision.evaluation.significance import (
    bootstrap_means,
    compare_pairs,
    percentile_interval,
)
from foodvision.evaluation.speed import describe_machine, measure_speed
from foodvision.goals import check_goals
from foodvision.metrics import wilson_interval

log = logging.getLogger(__name__)


def compare(
    models: Sequence[Classifier | str | Path],
    data: str | Path | Dataset,
    goals: Mapping[str, float] | None = None,
    device: str = "auto",
) -> Comparison:
    """Score and time classifiers on the test split, or on all images of a flat folder.

    Classes are matched by name: each model needs every class of these images, in any order. It may
    have more; its log loss is over all of its own. Only images that every model can open count.

    Args:
        models: classifiers, or what `Classifier.load` takes; the first is the one that `ratios`
            refer to.
        data: a dataset, or what `load_dataset` takes.
        goals: what to reach: ``accuracy`` or ``fps`` at least; ``log_loss``, ``mb`` or
            ``parameters`` at most.
        device: where models that are loaded here run. Speed is measured there and on the CPU.

    Raises:
        DataError: if there is no test split, a model lacks a class, or no image can be opened.
        ModelError: if there is no such model.
        ValueError: if there are no models, or no such goal.

    """
    if not models:
        raise ValueError("there is no model to compare")
    check_goals(goals or {})
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    split, images = held_out_images(dataset)
    names = distinct_names(models)
    classifiers = [
        _load(model, name, device, images) for model, name in zip(models, names, strict=True)
    ]
    reports: list[Report] = []
    for name, classifier in zip(names, classifiers, strict=True):
        log.info("%s (%d of %d)", name, len(reports) + 1, len(models))
        reports.append(evaluate(classifier, dataset, split))

    opened = Counter(image.name for report in reports for image in report.images)
    scored = {name for name, count in opened.items() if count == len(reports)}
    if not scored:
        raise DataError(f"{dataset.name}: no image can be opened by all models")
    right, losses = _results(reports, scored)
    intervals = [percentile_interval(means) for means in bootstrap_means(losses)]

    examples = images.subset([i for i, name in enumerate(images.names()) if name in scored])
    graphs = any(classifier.backend != "torch" for classifier in classifiers)  # on the CPU alone
    devices = dict.fromkeys(["cpu", "cpu" if graphs else choose_device(device).type])
    speeds = [measure_speed(classifiers, examples, device) for device in devices]
    return Comparison(
        data=dataset.name,
        split=split,
        classes=len(dataset.classes),
        n=len(scored),
        unreadable=sorted({line for report in reports for line in report.unreadable}),
        models=[
            ComparedModel(
                name=name,
                classes=len(classifiers[i].classes),
                log_loss=float(losses[i].mean()),
                log_loss_ci95=intervals[i],
                accuracy=float(right[i].mean()),
                accuracy_ci95=wilson_interval(int(right[i].sum()), len(scored)),
                parameters=classifiers[i].info.parameters or 0,
                trained=_count_trained(classifiers[i]),
                mb=classifiers[i].num_bytes() / 1e6,
                speeds=[of_device[i] for of_device in speeds],
                overlap=reports[i].overlap(),
            )
            for i, name in enumerate(names)
        ],
        pairs=compare_pairs(names, right, losses),
        goals=dict(goals or {}),
        machines={device: describe_machine(device) for device in devices},
    )


def distinct_names(models: Sequence[Classifier | str | Path]) -> list[str]:
    """A short name for each model, and none twice: that of its folder, or its Hub id.

    Of folders with the same name, as much of the path is kept as tells them apart; a model that is
    there twice gets a number.
    """
    paths, names = [_path(model) for model in models], list[str]()
    for path in paths:
        others = [other for other in paths if other != path]
        lengths = range(1, len(path) + 1)
        unique = (i for i in lengths if all(other[-i:] != path[-i:] for other in others))
        name = "/".join(path[-next(unique, len(path)) :])
        numbered = (name if number == 1 else f"{name} ({number})" for number in count(1))
        names.append(next(name for name in numbered if name not in names))
    return names


def held_out_images(dataset: Dataset) -> tuple[str, LabelledImages]:
    """The test split, or all images of a flat folder, after its name.

    Raises:
        DataError: if it has neither.

    """
    for split in ("test", FLAT):
        if split in dataset.splits:
            return split, dataset.splits[split]
    raise DataError(
        f"{dataset.name}: has no test split to compare on; it has {', '.join(dataset.splits)}"
    )


def labels_for(classifier: Classifier, name: str, images: LabelledImages) -> np.ndarray:
    """The labels of images as positions in a classifier's logits, shape (n,).

    Raises:
        DataError: naming the model, if it lacks a class.

    """
    try:
        return images.relabelled(classifier.classes).labels
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _path(model: Classifier | str | Path) -> tuple[str, ...]:
    if isinstance(model, Classifier):
        return model.folder.resolve().parts if model.folder else ("model",)
    return Path(model).resolve().parts if Path(model).is_dir() else (str(model),)


def _load(
    model: Classifier | str | Path, name: str, device: str, images: LabelledImages
) -> Classifier:
    classifier = model if isinstance(model, Classifier) else Classifier.load(model, device)
    labels_for(classifier, name, images)
    return classifier


def _results(reports: Sequence[Report], scored: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each model has each image right, and its log loss, each of shape (models, images)."""
    images = [[image for image in report.images if image.name in scored] for report in reports]
    right = [[image.true == image.predicted for image in row] for row in images]
    losses = [[image.log_loss for image in row] for row in images]
    return np.array(right), np.array(losses)


def _count_trained(classifier: Classifier) -> int | None:
    """The number of weights that the recipe trained; None if that is unknown."""
    recipe = classifier.info.recipe
    if "method" not in recipe:
        return None
    if recipe["method"] != "probe" and recipe.get("trainable") != "head":
        return classifier.info.parameters
    if not isinstance(classifier, TorchClassifier):  # a graph has no parameters to count
        return None
    return sum(weight.numel() for weight in classifier.network.head.parameters())
