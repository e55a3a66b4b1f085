"""The result of an evaluation, and the files that it is written to."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from foodvision.errors import FoodvisionError
from foodvision.evaluation.history import read_history
from foodvision.evaluation.page import report_page
from foodvision.evaluation.scores import Scores
from foodvision.files.atomic import cannot_write, check_writable, replacing, write_json
from foodvision.plots import plot_confusion, plot_history, plot_reliability
from foodvision.text import to_cell
from foodvision.weights.repository import CONFIG

PAGE, CURVES = "report.html", "curves.png"


@dataclass(frozen=True)
class Report(Scores):
    """`Scores` that can be written: as a page, as numbers and as charts."""

    def save(self, folder: str | Path) -> Path:
        """Write report.html, which holds everything, and its parts as files of their own.

        They are metrics.json, predictions.csv, confusion.png, reliability.png and, if the model's
        folder has a history.jsonl, curves.png.

        Args:
            folder: created if missing; files of an earlier report are replaced.

        Returns:
            The path of report.html.

        Raises:
            FoodvisionError: if the folder cannot be written.

        """
        folder = make_report_folder(folder)
        try:
            write_json(folder / "metrics.json", self.to_dict())
            with replacing(folder / "predictions.csv") as path:
                self._write_predictions(path)
            charts = self._draw(folder)
            page = report_page(self, charts)
            with replacing(folder / PAGE) as path:
                path.write_text(page, encoding="utf-8")
        except OSError as error:
            raise FoodvisionError(cannot_write(folder, error)) from error
        return folder / PAGE

    def _write_predictions(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            of_classes = (f"p_{name}" for name in self.classes)
            of_image = ("path", "true", "predicted", "probability", "log_loss", "seen")
            writer.writerow([*of_image, *of_classes])
            for image in self.images:
                names = map(to_cell, (image.name, image.true, image.predicted))
                numbers = image.probability, image.log_loss
                writer.writerow([*names, *numbers, image.seen, *image.probabilities])

    def _draw(self, folder: Path) -> dict[str, Path]:
        """The charts: PNG files, by the names that `report_page` has for them."""
        charts = {name: folder / f"{name}.png" for name in ("confusion", "reliability")}
        plot_confusion(self.confusion, self.classes, charts["confusion"])
        before = self.uncalibrated.reliability if self.uncalibrated else None
        plot_reliability(self.reliability, charts["reliability"], before)
        (folder / CURVES).unlink(missing_ok=True)  # of an earlier report, on another model
        if history := read_history(self.source.folder):
            name = "penalties" if "l2" in history[0] else "curves"
            charts[name] = folder / CURVES
            plot_history(history, charts[name])
        return charts


def make_report_folder(folder: str | Path) -> Path:
    """Create the folder of a report; before the evaluation, so a mistyped path fails first.

    Raises:
        FoodvisionError: if the folder is a model's, whose metrics.json would be lost, if it cannot
            be created, or no file can be written there.

    """
    folder = Path(folder)
    if (folder / CONFIG).exists():
        raise FoodvisionError(
            f"{folder}: is the folder of a model, whose metrics.json would be overwritten; give "
            f"another, such as --out {folder / 'report'}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FoodvisionError(cannot_write(folder, error)) from error
    check_writable(folder / PAGE)
    return folder
