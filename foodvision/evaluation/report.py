"""The result of an evaluation: metrics, one row per image, and the files they are written to."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foodvision.errors import FoodvisionError
from foodvision.files.atomic import cannot_write, write_json
from foodvision.metrics import Metrics
from foodvision.plots import plot_confusion, plot_curves
from foodvision.text import printable, to_cell


@dataclass(frozen=True)
class ScoredImage:
    """One row of predictions.csv: class names, top probability in 0-1, log loss in nats.

    `seen` is ``train`` or ``validation`` if the image was in that split of the model's run.
    """

    name: str
    true: str
    predicted: str
    probability: float
    log_loss: float
    seen: str


@dataclass(frozen=True)
class Report(Metrics):
    """`Metrics` of one split, with the images behind them.

    Attributes:
        data: name of the dataset.
        split: name of the split.
        unreadable: images that could not be opened, with the reason; n does not count them.
        trained_on: number of these images that the model was trained on; None if unknown.
        chosen_by: number of these images that its run chose the best model by; None if unknown.
        unseen: the metrics of all other images; None if there are none, or if unknown.
        images: every scored image, in the order of the dataset.

    """

    data: str
    split: str
    unreadable: list[str]
    trained_on: int | None
    chosen_by: int | None
    unseen: Metrics | None
    images: list[ScoredImage]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, without `images`."""
        return {key: value for key, value in asdict(self).items() if key != "images"}

    def overlap(self) -> str:
        """Why the result is too good, as in "trained on 90 and chosen by 12"; empty if it is not.

        Whoever evaluates the train or the validation split knows what these images were used for.
        """
        trained = 0 if self.split == "train" else self.trained_on
        chosen = 0 if self.split in ("train", "validation") else self.chosen_by
        counts = {"trained on": trained, "chosen by": chosen}
        return " and ".join(f"{how} {n}" for how, n in counts.items() if n)

    def summary(self) -> str:
        """The metrics as text, a line for each class."""
        classes = [printable(name) for name in self.classes]
        width, (low, high) = max(map(len, classes)), self.accuracy_ci95
        lines = [
            f"{self.split} of {printable(self.data)}: n = {self.n}",
            f"log loss   {self.log_loss:.4f}",
            f"accuracy   {self.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})",
            f"ECE        {self.ece:.3f}",
            f"{'':<{width}}  precision  recall      F1      n",
        ]
        if overlap := self.overlap():
            lines[0] += f", of which the model was {overlap}"
            lines.insert(1, f"the others: {self.unseen or 'none'}")
        for name, row in zip(classes, self.per_class.values(), strict=True):
            lines.append(
                f"{name:<{width}}  {row['precision']:>9.1%}  {row['recall']:>6.1%}  "
                f"{row['f1']:>6.1%}  {row['n']:>5}"
            )
        return "\n".join(lines)

    def save(self, folder: str | Path, history: list[dict[str, Any]] | None = None) -> None:
        """Write metrics.json, predictions.csv, confusion.png and, given a history, curves.png.

        Args:
            folder: created if missing; files of an earlier report are replaced.
            history: the lines of the run's history.jsonl.

        Raises:
            FoodvisionError: if the folder cannot be written.

        """
        folder = make_report_folder(folder)
        try:
            write_json(folder / "metrics.json", self.to_dict())
            with (folder / "predictions.csv").open(
                "w", newline="", encoding="utf-8", errors="surrogateescape"
            ) as file:
                writer = csv.writer(file)
                writer.writerow(ScoredImage.__dataclass_fields__)
                for image in self.images:
                    names = map(to_cell, (image.name, image.true, image.predicted))
                    writer.writerow([*names, image.probability, image.log_loss, image.seen])
            plot_confusion(self.confusion, self.classes, folder / "confusion.png")
            if history:
                plot_curves(history, folder / "curves.png")
        except OSError as error:
            raise FoodvisionError(cannot_write(folder, error)) from error


def make_report_folder(folder: str | Path) -> Path:
    """Create the folder of a report; before the evaluation, so a mistyped path fails first.

    Raises:
        FoodvisionError: if the folder cannot be created.

    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FoodvisionError(cannot_write(folder, error)) from error
    return folder
