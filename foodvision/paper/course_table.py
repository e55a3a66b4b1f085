"""The course's experiments beside ours: tables to read, and the files they are written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foodvision.errors import FoodvisionError
from foodvision.evaluation.tables import Table
from foodvision.files.atomic import cannot_write, replacing, write_json
from foodvision.metrics import wilson_interval
from foodvision.paper.collapse import AnswersAfterEpoch
from foodvision.paper.course_figures import SCRATCH_COURSE, Original
from foodvision.paper.course_score import BothWays

FILES = "course"
"""Name of the files, without their suffixes."""


@dataclass(frozen=True)
class Row:
    """An experiment with one of our models, or with none.

    Attributes:
        original: the course's experiment.
        why: why ours differs, or what is missing.
        model: its weights, seed or epoch.
        ours: None if it could not be run.

    """

    original: Original
    why: str
    model: str = "not run"
    ours: BothWays | None = None


@dataclass(frozen=True)
class Figure:
    """A number of the course that is no score, beside ours.

    Attributes:
        name: what is counted or measured, with its unit.
        original: the course's.
        ours: counted or measured here.
        why: why they differ; empty if they must be equal.

    """

    name: str
    original: float
    ours: float
    why: str = ""


@dataclass(frozen=True)
class Course:
    """All that was run.

    Attributes:
        data: name of the dataset.
        rows: in the order of the notebooks.
        epochs: of the course's recipe from scratch, by what was changed in it.
        figures: sizes and times.

    """

    data: str
    rows: Sequence[Row] = ()
    epochs: Mapping[str, Sequence[AnswersAfterEpoch]] = field(default_factory=dict)
    figures: Sequence[Figure] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """The tables as text for a terminal."""
        return "\n\n".join(table.to_text() for table in self._tables())

    def save(self, folder: Path) -> None:
        """Write course.json and course.md.

        Args:
            folder: exists; files of an earlier call are replaced.

        Raises:
            FoodvisionError: if it cannot be written.

        """
        tables = "\n\n".join(table.to_markdown() for table in self._tables())
        try:
            write_json(folder / f"{FILES}.json", self.to_dict())
            with replacing(folder / f"{FILES}.md") as path:
                path.write_text(f"{tables}\n", encoding="utf-8")
        except OSError as error:
            raise FoodvisionError(cannot_write(folder, error)) from error

    def _tables(self) -> list[Table]:
        tables = [self._scores(), self._differences()] if self.rows else []
        tables += [_epochs_table(name, epochs) for name, epochs in self.epochs.items()]
        return [*tables, *([self._figures()] if self.figures else [])]

    def _scores(self) -> Table:
        rows = []
        for row in self.rows:
            score, ours = row.original.score, row.ours
            right, interval = "unknown", "-"
            if score.right is not None:
                right = f"{score.right}/{score.n}"
                interval = _interval(wilson_interval(score.right, score.n))
            cells = ["-"] * 6
            if ours:
                cells = [f"{ours.n:,}", f"{ours.log_loss:.4f}", f"{ours.course_log_loss:.4f}"]
                cells += [f"{ours.accuracy:.1%}", _interval(ours.accuracy_ci95)]
                cells += [f"{ours.course_accuracy:.4f}"]
            theirs = [f"{score.log_loss:.4f}", f"{score.accuracy:.4f}", right, interval]
            rows.append([row.original.name, *theirs, row.model, *cells])
        theirs = ["its loss", "its accuracy", "right", "95 % interval"]
        ours_ = ["n", "log loss", "counted its way", "accuracy", "95 % interval", "counted its way"]
        return Table(
            f"The course's experiments beside ours, on {self.data}",
            ["experiment", *theirs, "ours", *ours_],
            rows,
            "The course's figures, and ours counted its way, are means over batches of 32 of the "
            "batch's mean; log loss and accuracy are means over images. Intervals are Wilson's.",
            words=(0, 5),
        )

    def _differences(self) -> Table:
        named = {row.original.name: row for row in self.rows}
        rows = [
            [name, row.original.what, f"{row.original.train} / {row.original.test}", row.why]
            for name, row in named.items()
        ]
        header = ["experiment", "", "training / test", "why ours differs, or is missing"]
        return Table("What was run", header, rows, words=(0, 1, 2, 3))

    def _figures(self) -> Table:
        rows = [[f.name, _number(f.original), _number(f.ours), f.why] for f in self.figures]
        return Table("Sizes and times", ["", "the course", "ours", ""], rows, words=(0, 3))


def _epochs_table(name: str, epochs: Sequence[AnswersAfterEpoch]) -> Table:
    only = sum(epoch.only is not None for epoch in epochs)
    rows = [
        [
            str(epoch.epoch),
            *map(str, epoch.answers.values()),
            f"{epoch.train_loss:.4f}",
            f"{epoch.score.log_loss:.4f}",
            f"{epoch.score.course_log_loss:.4f}",
            f"{epoch.score.accuracy:.1%}",
            f"{epoch.score.course_accuracy:.4f}",
        ]
        for epoch in epochs
    ]
    header = ["epoch", *epochs[0].answers, "training loss", "log loss", "counted its way"]
    changed = name if name == SCRATCH_COURSE else f"{SCRATCH_COURSE} with {name}"
    return Table(
        f"{changed}: how many of {epochs[0].score.n} test images get which class",
        [*header, "accuracy", "counted its way"],
        rows,
        f"One class for all images after {only} of {len(epochs)} epochs.",
        words=(),
    )


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
