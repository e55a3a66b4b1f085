"""The result of a comparison: tables to read, and the files they are written to."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foodvision.errors import FoodvisionError
from foodvision.evaluation.compared import ComparedModel
from foodvision.evaluation.report import make_report_folder
from foodvision.evaluation.significance import Pair
from foodvision.evaluation.tables import Table
from foodvision.evaluation.verdict import Verdict, judge
from foodvision.files.atomic import cannot_write, write_json
from foodvision.pages import data_address, render
from foodvision.plots import SpeedPanel, plot_speed_and_quality
from foodvision.text import printable, to_cell, to_markdown

FILES = "comparison"
"""Name of the files, without their suffixes."""


@dataclass(frozen=True)
class Comparison:
    """Classifiers side by side, on the same n test images.

    Attributes:
        data: name of the dataset.
        split: name of the split.
        classes: number of classes of the dataset.
        n: images that every model could open.
        unreadable: the others, with the reason.
        models: in the order they were given; the first is the reference of `ratios`.
        pairs: a significance test for every two models.
        goals: what to reach, by name.
        machines: what was timed, by device, as in ``cpu (2 threads)``.

    """

    data: str
    split: str
    classes: int
    n: int
    unreadable: Sequence[str]
    models: Sequence[ComparedModel]
    pairs: Sequence[Pair]
    goals: Mapping[str, float]
    machines: Mapping[str, str]

    def ratios(self) -> dict[str, dict[str, float | None]]:
        """The figures of every other model divided by those of the first, by model and figure."""
        first, *others = self.models
        return {model.name: model.ratios(first) for model in others}

    def verdicts(self) -> list[Verdict]:
        """Every goal for every model."""
        return [
            verdict
            for goal, target in self.goals.items()
            for model in self.models
            for verdict in judge(goal, target, model)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        content = asdict(self)
        for model, row in zip(self.models, content["models"], strict=True):
            row["speeds"] = {
                speed.device: asdict(speed) | {"fps": speed.fps} for speed in model.speeds
            }
        return {
            **content,
            "ratios": self.ratios(),
            "verdicts": [asdict(v) | {"text": str(v)} for v in self.verdicts()],
        }

    def summary(self) -> str:
        """The tables as text for a terminal."""
        tables = "\n\n".join(table.to_text() for table in self._tables())
        return f"{printable(self._title())}\n\n{tables}"

    def to_markdown(self) -> str:
        """The tables as a Markdown document."""
        tables = "\n\n".join(table.to_markdown() for table in self._tables())
        return f"# {to_markdown(self._title())}\n\n{tables}\n"

    def save(self, folder: str | Path) -> None:
        """Write comparison.json, .csv, .md, .png and .html, which contains the chart.

        Args:
            folder: created if missing; files of an earlier comparison are replaced.

        Raises:
            FoodvisionError: if the folder cannot be written.

        """
        path = make_report_folder(folder) / FILES
        try:
            write_json(path.with_suffix(".json"), self.to_dict())
            self._write_csv(path.with_suffix(".csv"))
            path.with_suffix(".md").write_text(self.to_markdown(), encoding="utf-8")
            chart = path.with_suffix(".png")
            plot_speed_and_quality(self._panels(), chart, self.goals)
            page = render(
                "comparison.html",
                title=self._title(),
                tables=self._tables(),
                chart=data_address(chart.read_bytes()),
            )
            path.with_suffix(".html").write_text(page, encoding="utf-8")
        except OSError as error:
            raise FoodvisionError(cannot_write(path.parent, error)) from error

    def _title(self) -> str:
        return f"{self.split} of {self.data}: n = {self.n:,}"

    def _write_csv(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(["model", "n", *self.models[0].figures()])
            for model in self.models:
                writer.writerow([to_cell(model.name), self.n, *model.figures().values()])

    def _panels(self) -> list[SpeedPanel]:
        return [
            SpeedPanel(
                title=f"{machine}, one by one",
                names=[model.name for model in self.models],
                milliseconds=[1000 * model.speeds[i].seconds_p50 for model in self.models],
                accuracies=[model.accuracy for model in self.models],
                intervals=[model.accuracy_ci95 for model in self.models],
                mb=[model.mb for model in self.models],
            )
            for i, machine in enumerate(self.machines.values())
        ]

    def _tables(self) -> list[Table]:
        tables = [self._quality(), *self._speed()]
        if self.pairs:
            tables += [self._ratios(), self._significance()]
        if self.goals:
            tables.append(self._goals())
        return tables

    def _quality(self) -> Table:
        rows = [
            [
                model.name,
                f"{model.log_loss:.4f}",
                _range(model.log_loss_ci95, ".4f"),
                f"{model.accuracy:.1%}",
                _range(model.accuracy_ci95, ".1%"),
                f"{model.parameters:,}",
                "unknown" if model.trained is None else f"{model.trained:,}",
                f"{model.mb:,.1f}",
            ]
            for model in self.models
        ]
        notes = [
            f"{model.name} was {model.overlap} of these images: its figures are too good."
            for model in self.models
            if model.overlap
        ]
        notes += [
            f"{model.name} chooses from {model.classes} classes, its log loss is over all of them."
            for model in self.models
            if model.classes > self.classes
        ]
        if self.unreadable:
            notes.append(f"{len(self.unreadable)} images cannot be opened and are not scored.")
        interval = "95 % interval"
        header = ["model", "log loss", interval, "accuracy", interval]
        return Table(
            "Quality and size",
            [*header, "parameters", "trained", "MB"],
            rows,
            " ".join(notes),
        )

    def _speed(self) -> list[Table]:
        return [
            Table(
                f"Speed on {machine}",
                ["model", "ms per image, p50", "p95", "images/s one by one", "in batches"],
                [
                    [
                        model.name,
                        f"{1000 * speed.seconds_p50:,.1f}",
                        f"{1000 * speed.seconds_p95:,.1f}",
                        f"{speed.fps:,.1f}",
                        f"{speed.images_per_second:,.1f}",
                    ]
                    for model in self.models
                    for speed in [model.speeds[i]]
                ],
                f"From the file to the probabilities; {self.models[0].speeds[i].images} images, "
                f"the models in turns; batches of {self.models[0].speeds[i].batch_size}.",
            )
            for i, machine in enumerate(self.machines.values())
        ]

    def _ratios(self) -> Table:
        ratios = self.ratios()
        names = {
            "log_loss": "log loss",
            "mb": "MB",
            **{f"{device}_seconds_p50": f"ms, {device}" for device in self.machines},
            **{f"{device}_images_per_second": f"batches, {device}" for device in self.machines},
        }
        columns = list(next(iter(ratios.values())))
        rows = [
            [name, *("–" if ratio is None else f"{ratio:.3g}" for ratio in row.values())]
            for name, row in ratios.items()
        ]
        header = ["model", *(names.get(column, column) for column in columns)]
        return Table(f"Ratios to {self.models[0].name}", header, rows)

    def _significance(self) -> Table:
        def said(established: bool) -> str:
            return "established" if established else f"not established at n = {self.n:,}"

        rows = [
            [
                f"{pair.second} minus {pair.first}",
                f"{pair.accuracy_difference:+.1%}",
                said(pair.accuracy_established),
                f"{pair.log_loss_difference:+.4f}",
                said(pair.log_loss_established),
                f"{pair.second_only} : {pair.first_only}",
                f"{pair.accuracy_p_holm:.2g}",
                f"{_range(pair.log_loss_interval, '+.4f')} ({pair.log_loss_level:.1%})",
            ]
            for pair in self.pairs
        ]
        header = ["difference", "accuracy", "", "log loss", ""]
        count = f"{len(self.pairs)} pair" + ("s" if len(self.pairs) > 1 else "")
        return Table(
            "Is the difference established?",
            [*header, "right alone", "p (Holm)", "interval of log loss"],
            rows,
            "Accuracy: McNemar's exact test. Log loss: paired bootstrap interval. Both at 5 % over "
            f"{count} (Holm).",
            words=(0, 2, 4),
        )

    def _goals(self) -> Table:
        rows = [
            [
                f"{v.goal}={v.target:g}" + (f" on {v.device}" if v.device else ""),
                v.model,
                str(v),
            ]
            for v in self.verdicts()
        ]
        return Table("Goals", ["goal", "model", ""], rows, words=(0, 1, 2))


def _range(interval: tuple[float, float], digits: str) -> str:
    return f"{interval[0]:{digits}} to {interval[1]:{digits}}"
