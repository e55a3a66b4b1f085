"""What a benchmark finds: a row for each way to run a model, as a table, JSON and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from foodvision.errors import FoodvisionError
from foodvision.evaluation import make_report_folder
from foodvision.evaluation.tables import Table
from foodvision.files.atomic import cannot_write, write_json
from foodvision.plots import plot_stages

FILES = "benchmark"
"""Name of the files of `Benchmark.save`, without ending."""

STAGES = ("decode", "resize", "network")


class Spread(NamedTuple):
    """Milliseconds for an image."""

    p50: float
    p95: float
    """95 of 100 images take no longer."""


@dataclass(frozen=True)
class Row:
    """One way to run a model.

    Attributes:
        model: short, and different for each.
        run: backend and precision, as in ``torch/bf16`` or ``onnx/int8``.
        device: ``cpu``, ``cuda`` or ``mps``.
        threads: of the CPU, that share the work of one image.
        machine: device and threads in words.
        milliseconds: of ``decode`` (opening the file), ``resize`` (and normalising), ``network``
            and ``total``, for images one by one. A graph resizes within: it has no ``resize``.
        images_per_second: of many images, in batches that are decoded ahead in threads.
        agreement: share of the scored images with the same answer as the first row, in 0-1; None
            without data.
        log_loss: of the scored images, in nats; None without data.

    """

    model: str
    run: str
    device: str
    threads: int
    machine: str
    milliseconds: Mapping[str, Spread]
    images_per_second: float
    agreement: float | None
    log_loss: float | None


@dataclass(frozen=True)
class Benchmark:
    """Ways to run models, timed in turns on the same images.

    Attributes:
        images: what they are, as in ``test of photos``.
        timed: number of images that were timed one by one.
        scored: number of images behind agreement and log loss; 0 without data.
        batch_size: of many images.
        rows: in the order of the models.

    """

    images: str
    timed: int
    scored: int
    batch_size: int
    rows: Sequence[Row]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        content = asdict(self)
        for row, found in zip(content["rows"], self.rows, strict=True):
            row["milliseconds"] = {k: v._asdict() for k, v in found.milliseconds.items()}
        return content

    def summary(self) -> str:
        """The table as text for a terminal."""
        return self._table().to_text()

    def save(self, folder: str | Path) -> None:
        """Write benchmark.json, .md and .png.

        Args:
            folder: created if missing; files of an earlier benchmark are replaced.

        Raises:
            FoodvisionError: if the folder cannot be written.

        """
        path = make_report_folder(folder) / FILES
        try:
            write_json(path.with_suffix(".json"), self.to_dict())
            text = self._table().to_markdown() + "\n"
            path.with_suffix(".md").write_text(text, encoding="utf-8")
            medians = [
                [row.milliseconds[name].p50 if name in row.milliseconds else 0 for row in self.rows]
                for name in STAGES
            ]
            names = [f"{row.model} {row.run}" for row in self.rows]
            plot_stages(names, dict(zip(STAGES, medians, strict=True)), path.with_suffix(".png"))
        except OSError as error:
            raise FoodvisionError(cannot_write(path.parent, error)) from error

    def _table(self) -> Table:
        header = ["model", "run", "on", *STAGES, "total", "images/s"]
        rows = [
            [
                row.model,
                row.run,
                row.machine,
                *(_milliseconds(row.milliseconds.get(name)) for name in (*STAGES, "total")),
                f"{row.images_per_second:,.1f}",
            ]
            for row in self.rows
        ]
        note = (
            "From the file to the logits; decode, resize, network and total one image at a time, "
            f"images/s for many images: batches of {self.batch_size}, or graphs side by side."
        )
        if any("resize" not in row.milliseconds for row in self.rows):
            note += " A graph resizes the image itself: its network includes resize."
        if self.scored:
            header += ["agreement", "log loss"]
            for cells, row in zip(rows, self.rows, strict=True):
                cells += [f"{row.agreement:.1%}", f"{row.log_loss:.4f}"]
            note += (
                " Agreement: same answers as the first row; it and log loss are of "
                f"{self.scored} images."
            )
        return Table(
            f"Milliseconds per image, p50 / p95; {self.images}: {self.timed} images",
            header,
            rows,
            note,
            words=(0, 1, 2),
        )


def _milliseconds(spread: Spread | None) -> str:
    return "in network" if spread is None else f"{spread.p50:,.1f} / {spread.p95:,.1f}"
