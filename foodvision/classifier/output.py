"""Predictions as lines, JSON, or a table with a column ``p_CLASS`` for each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from foodvision.classifier.predict import Prediction
from foodvision.files.digest import sha256_of_files
from foodvision.rows.output import to_stdout, to_table
from foodvision.rows.table import Columns, Table
from foodvision.text import printable
from foodvision.weights.box import BOX, FOLDER, GRAPHS, NETWORK
from foodvision.weights.repository import CONFIG, PREPROCESSOR, UNSURE, WEIGHTS, find_model


def made_with(model: str | Path, threshold: float | None) -> dict[str, Any]:
    """What a table's predictions are computed with, for `Table.begin`.

    Args:
        model: a model folder, or a Hub id; the checksum is over the files that decide its answers.
        threshold: see `Prediction.sure`.

    """
    folder = FOLDER if model == BOX else find_model(model)
    parts = (NETWORK, GRAPHS) if model == BOX else (folder,)
    names = (CONFIG, PREPROCESSOR, WEIGHTS, UNSURE, "onnx/*", "openvino/*")
    files = [file for part in parts for name in names for file in sorted(part.glob(name))]
    return {"model": sha256_of_files(folder, files), "threshold": threshold}


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
        as_json: one JSON document on stdout, of the same rows that go into a table.
        top: how many classes a line on stdout shows; tables and JSON have all.
        classes: names in the order of the columns ``p_CLASS`` of a table.

    Raises:
        FoodvisionError: if the table cannot be written, or if no image at all could be opened.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped the writing of a table.

    """
    if not table:
        to_stdout(predictions, total, "predicting", as_json, lambda row: _line(row, top))
        return
    to_table(
        predictions,
        total,
        "predicting",
        table,
        columns(classes),
        lambda row: cells(row, classes),
        as_json,
    )


def columns(classes: Sequence[str]) -> Columns:
    """Those of a table of predictions."""
    return {
        **{"path": str, "label": str, "probability": float, "sure": bool, "error": str},
        **{f"p_{name}": float for name in classes},
    }


def cells(prediction: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    """A prediction's value in each of the `columns`."""
    shares = {f"p_{name}": prediction.probabilities.get(name) for name in classes}
    return prediction.to_dict() | shares


def _line(row: Prediction, top: int) -> str:
    best = [
        f"{probability:6.1%}  {printable(name):<16}"
        for name, probability in islice(row.probabilities.items(), top)
    ]
    unsure = "unsure  " if row.sure is False else ""
    return "  ".join([*best, f"{unsure}{printable(row.path)}"])
