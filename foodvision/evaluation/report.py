"""The result of an evaluation: metrics, one row per image, and the files they are written to."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foodvision.errors import FoodvisionError
from foodvision.files.atomic import cannot_write
from foodvision.metrics import Metrics
from foodvision.plots import plot_confusion, plot_curves


@dataclass(frozen=True)
class ScoredImage:
    """One row of predictions.csv: class names, top probability in 0-1, log loss in nats."""

    name: str
    true: str
    predicted: str
    probability: float
    log_loss: float


@dataclass(frozen=True)
class Report(Metrics):
    """`Metrics` of one split, with the images behind them.

    Attributes:
        data: name of the dataset.
        split: name of the split.
        unreadable: images that could not be opened, with the reason; n does not count them.
        images: every scored image, in the order of the dataset.

    """

    data: str
    split: str
    unreadable: list[str]
    images: list[ScoredImage]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, without `images`."""
        return {key: value for key, value in asdict(self).items() if key != "images"}

    def summary(self) -> str:
        """The metrics as text, a line for each class."""
        width, (low, high) = max(map(len, self.classes)), self.accuracy_ci95
        lines = [
            f"{self.split} of {self.data}: n = {self.n}",
            f"log loss   {self.log_loss:.4f}",
            f"accuracy   {self.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})",
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
        """Write metrics.json, predictions.csv, confusion.png and, given a history, curves.png.

        Args:
            folder: created if missing; files of an earlier report are replaced.
            history: the lines of the run's history.jsonl.

        Raises:
            FoodvisionError: if the folder cannot be written.

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
