"""How good a classifier is on a data set: numbers, a row for every image, charts."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.backends.device import Precision
from foodvision.classifier import Classifier
from foodvision.data import Dataset, LabelledImages, load_dataset, training_splits
from foodvision.data.dataset import FLAT
from foodvision.errors import DataError, FoodvisionError, ImageError
from foodvision.files.atomic import cannot_write
from foodvision.metrics import Metrics, RunningMetrics, log_loss_of_each
from foodvision.plots import plot_confusion, plot_curves
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredImage:
    """One row of predictions.csv."""

    name: str
    true: str
    predicted: str
    probability: float
    log_loss: float


@dataclass(frozen=True)
class Report(Metrics):
    """`Metrics` of one split, and what they are made of.

    Attributes:
        data: what was evaluated on.
        split: which part of it.
        unreadable: images that could not be opened and are not counted in n.
        images: every scored image, in the data set's order.

    """

    data: str
    split: str
    unreadable: list[str]
    images: list[ScoredImage]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON; without the single images."""
        return {key: value for key, value in asdict(self).items() if key != "images"}

    def summary(self) -> str:
        """The numbers as lines to read."""
        width = max(map(len, self.classes))
        lines = [
            f"{self.split} of {self.data}: n = {self.n}",
            f"log loss   {self.log_loss:.4f}",
            f"accuracy   {self.accuracy:.1%} (95 % interval {self.accuracy_ci95[0]:.1%} to "
            f"{self.accuracy_ci95[1]:.1%})",
            f"ECE        {self.ece:.3f}",
            f"{'':<{width}}  precision  recall      F1      n",
        ]
        for name, row in self.per_class.items():
            lines.append(
                f"{name:<{width}}  {row['precision']:>9.1%}  {row['recall']:>6.1%}  "
                f"{row['f1']:>6.1%}  {row['n']:>5}"
            )
        return "\n".join(lines)

    def save(self, folder: str | Path, history: list[dict[str, Any]] | None = None) -> None:
        """Write metrics.json, predictions.csv, confusion.png, and curves.png if there is history.

        Args:
            folder: made where it is missing; files of an earlier report are replaced.
            history: the lines of the run's history.jsonl.

        """
        folder = make_report_folder(folder)
        try:
            (folder / "metrics.json").write_text(json.dumps(self.to_dict(), indent=2) + "\n")
            with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(ScoredImage.__dataclass_fields__))
                writer.writeheader()
                writer.writerows(asdict(image) for image in self.images)
            plot_confusion(self.confusion, self.classes, folder / "confusion.png")
            if history:
                plot_curves(history, folder / "curves.png")
        except OSError as error:
            raise FoodvisionError(cannot_write(folder, error)) from error


def evaluate(
    classifier: Classifier,
    data: str | Path,
    split: str | None = None,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> Report:
    """Score a classifier.

    Args:
        classifier: whose class names must include the data set's.
        data: see `load_dataset`.
        split: ``train``, ``validation``, ``test`` or ``all``; None for the test split, else all
            of a flat folder. A validation split that the data set lacks is the one that the
            classifier's training carved out.
        batch_size: images at a time; does not change the result.
        precision: ``float32``; ``bf16``, which is faster on some devices and changes the third
            digit of a log loss; or ``auto``, whichever is fast. Head and softmax are in float32.

    Raises:
        DataError: if there is no such split, a class the model does not know, or no readable
            image.

    """
    dataset = load_dataset(data)
    recipe = classifier.metadata.get("recipe") or {}
    if recipe.get("classes") or recipe.get("exclude_classes"):
        log.warning(
            "the model was trained on %d of %d classes: only their images are scored",
            len(classifier.classes),
            len(dataset.classes),
        )
        known = [name for name in dataset.classes if name in classifier.classes]
        dataset = dataset.restricted(known)
    name, images = _choose(dataset, classifier, split)
    images = images.relabelled(classifier.classes)
    log.info("evaluating on %s of %s: %d images", name, dataset.name, len(images))

    running = RunningMetrics(classifier.classes)
    scored: list[ScoredImage] = []
    unreadable: list[str] = []
    with progress_bar() as bar:
        task = bar.add_task("evaluating", total=len(images), unit="images", info="")
        sources = (example.source for example in images)
        results = classifier.logits(sources, batch_size, precision)
        for image, label, logits in zip(images.names(), images.labels, results, strict=True):
            bar.advance(task)
            if isinstance(logits, ImageError):
                unreadable.append(f"{image}: {logits.reason}")
                continue
            running.update(logits[None], label[None])
            scored.append(_scored(image, int(label), logits, classifier.classes))
    if unreadable:
        log.warning(
            "%d of %d images cannot be opened and are not scored, the first is %s",
            len(unreadable),
            len(images),
            unreadable[0],
        )
    if not scored:
        raise DataError(f"{data}: none of its {len(images)} images can be opened")
    return Report(
        **vars(running.result()),
        data=dataset.name,
        split=name,
        unreadable=unreadable,
        images=scored,
    )


def make_report_folder(folder: str | Path) -> Path:
    """Make the folder of a report; before the work, so that a slip of the pen loses none.

    Raises:
        FoodvisionError: if it cannot be made.

    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FoodvisionError(cannot_write(folder, error)) from error
    return folder


def _choose(
    dataset: Dataset, classifier: Classifier, split: str | None
) -> tuple[str, LabelledImages]:
    splits = dataset.splits
    if split is None:
        for name in ("test", FLAT):
            if name in splits:
                if name == FLAT:
                    log.warning(
                        "%s has no test split: scoring all of it; images that the model was "
                        "trained on make the result too good",
                        dataset.name,
                    )
                return name, splits[name]
        raise DataError(f"{dataset.name}: has no test split; choose --split {' or '.join(splits)}")
    if split in splits:
        return split, splits[split]
    recipe = classifier.metadata.get("recipe")
    if split in ("train", "validation") and recipe and ("train" in splits or FLAT in splits):
        seed, fraction = recipe["seed"], recipe["validation_fraction"]
        carved = training_splits(dataset, seed, fraction, recipe.get("fraction", 1.0))
        return split, (carved.train if split == "train" else carved.validation).images
    raise DataError(f"{dataset.name}: has no split {split}; it has {', '.join(splits)}")


def _scored(name: str, label: int, logits: np.ndarray, classes: tuple[str, ...]) -> ScoredImage:
    loss = float(log_loss_of_each(logits[None], np.array([label]))[0])
    best = logits[None].argmax(axis=1)
    top = float(np.exp(-log_loss_of_each(logits[None], best)[0]))
    return ScoredImage(name, classes[label], classes[best[0]], top, loss)
