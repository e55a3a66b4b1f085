"""Predictions come in one by one and are written as they come: lines, JSON, or a table on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from foodvision.classifier.parquet_table import ParquetTable
from foodvision.classifier.predict import Prediction, shown
from foodvision.classifier.table import Table
from foodvision.classifier.text_table import CsvTable, JsonlTable
from foodvision.errors import FoodvisionError
from foodvision.progress import progress_bar
from foodvision.text import printable, to_json

log = logging.getLogger(__name__)


def open_table(out: Path, resume: bool = False) -> Table:
    """The table of a path, once it is clear that it can be written; nothing is written yet.

    Raises:
        FoodvisionError: if the name is that of a file of another format, a folder for Parquet
            files is not empty, or there is (no) interrupted run, against `resume`.
        MissingExtraError: if pyarrow is needed and is not installed.

    """
    formats: dict[str, Callable[[Path], Table]] = {".csv": CsvTable, ".jsonl": JsonlTable}
    table = formats.get(out.suffix, ParquetTable)(out)
    table.check()
    begun = table.is_begun()
    if resume and not begun:
        raise FoodvisionError(f"{out}: there is no interrupted run; leave --resume out")
    if begun and not resume:
        raise FoodvisionError(
            f"{table.growing}: holds rows of an interrupted run; continue it with --resume, or "
            "delete it"
        )
    return table


def write_predictions(
    predictions: Iterable[Prediction],
    total: int,
    table: Table | None = None,
    as_json: bool = False,
    top: int = 1,
    classes: Sequence[str] = (),
) -> None:
    """Write each prediction as it comes.

    Args:
        predictions: of any number of images; those after `table.rows`.
        total: number of images, with those that the table has.
        table: where they go; None for stdout.
        as_json: one JSON document on stdout.
        top: how many classes a line on stdout shows; tables and JSON have all.
        classes: names in the order of the columns ``p_CLASS`` of a table.

    Raises:
        FoodvisionError: if the table cannot be written, or if no image at all could be opened.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped the writing of a table.

    """
    done, failed = (table.rows, table.failed) if table else (0, 0)
    first = ""

    def watched() -> Iterator[Prediction]:
        nonlocal failed, first
        with progress_bar() as bar:
            task = bar.add_task("predicting", total=total, completed=done, unit="images", info="")
            for prediction in predictions:
                bar.advance(task)
                if prediction.error:
                    failed += 1
                    first = first or f"{shown(prediction.path)}: {prediction.error}"
                yield prediction

    if table:
        table.write(watched(), classes)
    elif as_json:
        _write_json(watched())
    else:
        _write_lines(watched(), total, top)
    if failed and failed == total:
        reason = "no image can be opened" + (f"; {first}" if first else "")
        raise FoodvisionError(first if first and total == 1 else reason)
    if failed:
        log.warning("%d of %d images cannot be opened", failed, total)


def _write_json(predictions: Iterator[Prediction]) -> None:
    """One list, whose rows are not held in memory."""
    before = "["
    for row in predictions:
        print(before, to_json(row.to_dict()), sep="", end="")
        before = ",\n"
    print("[]" if before == "[" else "]")


def _write_lines(predictions: Iterator[Prediction], total: int, top: int) -> None:
    for row in predictions:
        best = [
            f"{probability:6.1%}  {printable(name):<16}"
            for name, probability in islice(row.probabilities.items(), top)
        ]
        if best:
            unsure = "unsure  " if row.sure is False else ""
            print(*best, f"{unsure}{printable(row.path)}", sep="  ")
        elif total > 1:  # a single one ends the command with this line
            log.warning("%s: %s", shown(row.path), row.error)
