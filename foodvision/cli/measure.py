"""`foodvision evaluate` and `foodvision info`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from foodvision.cli.arguments import Data, Device, Json, Model


class Precision(StrEnum):
    """Precision of the network's arithmetic."""

    AUTO = "auto"
    BF16 = "bf16"
    FLOAT32 = "float32"


def evaluate(
    model: Model,
    data: Data,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation, test or all.  [default: test if there is one]"),
    ] = None,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    precision: Annotated[
        Precision, typer.Option(help="bf16 is faster on some devices and slightly less exact.")
    ] = Precision.FLOAT32,
    device: Device = "auto",
) -> None:
    """Measure a classifier: log loss, accuracy, every class."""
    import json

    from foodvision.classifier import Classifier
    from foodvision.evaluation import evaluate, make_report_folder

    if out:
        make_report_folder(out)
    report = evaluate(Classifier.load(model, device), data, split, precision=precision.value)
    if out:
        report.save(out)
    print(json.dumps(report.to_dict()) if as_json else report.summary())
    if out and not as_json:
        print(f"report in {out}")


def info(model: Model) -> None:
    """Describe a model: network, input, classes, training, metrics."""
    from foodvision.classifier import Classifier

    print(Classifier.load(model, "cpu").describe())
