"""What was measured for each size of the pretraining set: a table to read, a chart, and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from foodvision.errors import FoodvisionError
from foodvision.evaluation.tables import Table, spread
from foodvision.files.atomic import cannot_write, replacing, write_json
from foodvision.paper.plots import Panel, plot_by_images
from foodvision.progress import duration

FILES = "data-size"
"""Name of the files, without their suffixes."""


class Cut(NamedTuple):
    """One network to pretrain."""

    width: int
    """D."""
    fraction: float
    """Of the pretraining images, in 0-1; 0 for no pretraining."""
    seed: int

    def __str__(self) -> str:
        return f"width {self.width}, {100 * self.fraction:g} %, seed {self.seed}"


@dataclass(frozen=True)
class Point:
    """One network, pretrained and transferred.

    Attributes:
        cut: what it was pretrained on.
        images: how many these are.
        parameters: weights of the network that was pretrained.
        n: test images of the other dataset.
        log_loss: on these after fine-tuning, in nats.
        accuracy: on these after fine-tuning, in 0-1.
        accuracy_ci95: Wilson's interval.
        few_shot: accuracy on these of least squares on frozen features, in 0-1.
        pretraining_accuracy: on validation images of the pretraining set; None without pretraining.
        seconds: of the pretraining.

    """

    cut: Cut
    images: int
    parameters: int
    n: int
    log_loss: float
    accuracy: float
    accuracy_ci95: tuple[float, float]
    few_shot: float
    pretraining_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class DataSizes:
    """All that was measured.

    Attributes:
        source: name of the dataset to pretrain on.
        classes: how many of it were pretrained on.
        target: name of the dataset to transfer to.
        shots: images of each class for the few-shot accuracy.
        points: by width, size and seed.

    """

    source: str
    classes: int
    target: str
    shots: int
    points: Sequence[Point] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        points = [asdict(point) | {"cut": point.cut._asdict()} for point in self.points]
        return vars(self) | {"points": points}

    def table(self) -> Table:
        """One row for each width and size, with the mean and the range of several seeds."""
        rows = [
            [
                str(width),
                f"{100 * fraction:g} %",
                spread([point.images for point in points], ",.0f"),
                _known(points),
                spread([point.log_loss for point in points], ".3f"),
                spread([point.accuracy for point in points], ".1%"),
                spread([point.few_shot for point in points], ".1%"),
                duration(sum(point.seconds for point in points)),
            ]
            for (width, fraction), points in self._groups()
        ]
        few = f"{self.shots} shots"
        header = ["width", "share", "images", "accuracy there", "log loss", "accuracy", few, "time"]
        seeds = len({point.cut.seed for point in self.points})
        note = (
            f"Pretrained on cuts of {self.source} ({self.classes} classes, none of them of "
            f"{self.target}); accuracy there is on its validation images. Then measured on "
            f"{self.points[0].n:,} test images of {self.target}: log loss and accuracy after "
            f"fine-tuning, and the accuracy of least squares on the frozen features of "
            f"{self.shots} images of each class. "
        )
        note += "One seed." if seeds == 1 else f"{seeds} seeds: mean (lowest to highest)."
        return Table("Figures 3 and 4 in miniature", header, rows, note, words=())

    def save(self, folder: Path) -> None:
        """Write data-size.json, data-size.md and data-size.png.

        Args:
            folder: exists; files of an earlier call are replaced.

        Raises:
            FoodvisionError: if it cannot be written.

        """
        try:
            write_json(folder / f"{FILES}.json", self.to_dict())
            with replacing(folder / f"{FILES}.md") as path:
                path.write_text(f"{self.table().to_markdown()}\n", encoding="utf-8")
            with replacing(folder / f"{FILES}.png") as path:
                self._plot(path)
        except OSError as error:
            raise FoodvisionError(cannot_write(folder, error)) from error

    def _plot(self, path: Path) -> None:
        panels = []
        for title, name in (
            ("Log loss after fine-tuning", "log_loss"),
            ("Accuracy after fine-tuning", "accuracy"),
            (f"Accuracy of the frozen features, {self.shots} images per class", "few_shot"),
        ):
            lines: dict[str, dict[float, list[float]]] = {}
            for (width, _), points in self._groups():
                images = sum(point.images for point in points) / len(points)
                values = [getattr(point, name) for point in points]
                lines.setdefault(f"width {width}", {})[images] = values
            panels.append(Panel(title, lines, shares=name != "log_loss"))
        plot_by_images(panels, f"pretraining images of {self.source}", path)

    def _groups(self) -> Iterator[tuple[tuple[int, float], list[Point]]]:
        """The seeds of each width and size."""
        for key, points in groupby(self.points, lambda point: point.cut[:2]):
            yield key, list(points)


def _known(points: Sequence[Point]) -> str:
    values = [p.pretraining_accuracy for p in points if p.pretraining_accuracy is not None]
    return spread(values, ".1%") if values else "-"
