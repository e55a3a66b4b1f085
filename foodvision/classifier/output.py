"""Predictions come in one by one and are written as they come: lines, JSON, CSV or Parquet.

Every file has a column ``p_CLASS`` for each class, in the order of the model's classes.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, TextIO

from foodvision.classifier.predict import Prediction, shown
from foodvision.errors import FoodvisionError, MissingExtraError
from foodvision.files.atomic import cannot_write, replacing
from foodvision.progress import progress_bar
from foodvision.text import printable, to_cell, to_json

log = logging.getLogger(__name__)

FILE_ROWS, GROUP_ROWS = 100_000, 5_000
"""Most rows of a Parquet file, and of a row group: so many are in memory."""


def check_out(out: Path | None) -> None:
    """Make sure that `write_predictions` can write there, before any work is done.

    Raises:
        FoodvisionError: if the name is that of a file of another format, or a folder for Parquet
            files is not empty.
        MissingExtraError: if pyarrow is needed and is not installed.

    """
    if out is None or _is_text(out):
        return
    if out.suffix not in ("", ".parquet") and not out.is_dir():
        raise FoodvisionError(
            f"--out {out}: must end in .csv or .jsonl, or be a folder for Parquet files, whose "
            "name has no suffix"
        )
    if not find_spec("pyarrow"):
        raise MissingExtraError(f"--out {out} (Parquet; .csv and .jsonl do not)", "data")
    try:
        if out.exists() and any(out.iterdir()):
            raise FoodvisionError(f"--out {out}: is not empty; choose another folder")
    except OSError as error:
        raise FoodvisionError(cannot_write(out, error)) from error


def write_predictions(
    predictions: Iterable[Prediction],
    total: int,
    out: Path | None = None,
    as_json: bool = False,
    top: int = 1,
    classes: Sequence[str] = (),
) -> None:
    """Write each prediction as it comes.

    Args:
        predictions: of any number of images.
        total: their number, for the progress bar.
        out: the file to write, .csv or .jsonl; or a folder, for Parquet files; None for stdout.
        as_json: one JSON document on stdout.
        top: how many classes a line on stdout shows; files and JSON have all.
        classes: names in the order of the columns ``p_CLASS`` of a file.

    Raises:
        FoodvisionError: if `out` cannot be written, or if no image at all could be opened.

    """
    failed: list[Prediction] = []

    def watched() -> Iterator[Prediction]:
        with progress_bar() as bar:
            task = bar.add_task("predicting", total=total, unit="images", info="")
            for prediction in predictions:
                bar.advance(task)
                if prediction.error:
                    failed.append(prediction)
                yield prediction

    if out:
        try:
            if _is_text(out):
                with out.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
                    write = _write_csv if out.suffix == ".csv" else _write_jsonl
                    write(watched(), classes, file)
            else:
                _write_parquet(watched(), classes, out)
        except OSError as error:
            raise FoodvisionError(cannot_write(out, error)) from error
    elif as_json:
        print(to_json([prediction.to_dict() for prediction in watched()]))
    else:
        _write_lines(watched(), total, top)
    if failed and len(failed) == total:
        first = f"{shown(failed[0].path)}: {failed[0].error}"
        raise FoodvisionError(first if total == 1 else f"no image can be opened; {first}")
    if failed:
        log.warning("%d of %d images cannot be opened", len(failed), total)


def _is_text(out: Path) -> bool:
    return out.suffix in (".csv", ".jsonl")


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


def _columns(row: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    """One row of a file: plain types by column, None where the image could not be opened."""
    return {
        "path": row.path,
        "label": row.label,
        "probability": row.probability,
        "sure": row.sure,
        "error": row.error,
        **{f"p_{name}": row.probabilities.get(name) for name in classes},
    }


def _write_jsonl(predictions: Iterator[Prediction], classes: Sequence[str], file: TextIO) -> None:
    for row in predictions:
        # The columns of the other files, so that tables read it, beside the dictionary of --json.
        file.write(to_json(row.to_dict() | _columns(row, classes)) + "\n")


def _write_csv(predictions: Iterator[Prediction], classes: Sequence[str], file: TextIO) -> None:
    writer = csv.writer(file)
    writer.writerow(_columns(Prediction(""), classes))
    for row in predictions:
        cells = _columns(row, classes).values()
        writer.writerow([to_cell(cell) if isinstance(cell, str) else cell for cell in cells])


def _write_parquet(predictions: Iterator[Prediction], classes: Sequence[str], folder: Path) -> None:
    """Files ``part-00000.parquet``, …: each is whole or not there."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    types = {"path": pa.string(), "label": pa.string(), "probability": pa.float64()}
    types |= {"sure": pa.bool_(), "error": pa.string()}
    types |= {f"p_{_utf8(name)}": pa.float64() for name in classes}
    schema = pa.schema(types)
    folder.mkdir(parents=True, exist_ok=True)
    for number in count():
        rows: Iterator[Prediction] = islice(predictions, FILE_ROWS)
        first = next(rows, None)
        if first is None and number:
            return
        with (
            replacing(folder / f"part-{number:05d}.parquet") as path,
            ParquetWriter(path, schema) as writer,
        ):
            rows = chain([first], rows) if first else rows
            while group := list(islice(rows, GROUP_ROWS)):
                columns = zip(*(_columns(row, classes).values() for row in group), strict=True)
                arrays = [
                    pa.array([_utf8(cell) if isinstance(cell, str) else cell for cell in column], t)
                    for column, t in zip(columns, schema.types, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _utf8(text: str) -> str:
    r"""Parquet has no lone surrogates: a byte that is not UTF-8 is written as ``\udc80``."""
    return text.encode("utf-8", "backslashreplace").decode()
