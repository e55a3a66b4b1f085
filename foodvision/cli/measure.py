"""`foodvision evaluate` and `foodvision info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foodvision.backends import Precision
from foodvision.cli.arguments import Data, Device, Json, Model


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
    ] = "float32",
    device: Device = "auto",
) -> None:
    """Measure a classifier: log loss, accuracy, every class."""
    from foodvision.classifier.info import describe
    from foodvision.data import load_dataset
    from foodvision.text import to_json

    describe(model)  # whatever is wrong with it is said now: importing torch takes seconds
    dataset = load_dataset(data)

    from foodvision.classifier.classifier import Classifier
    from foodvision.evaluation import evaluate, make_report_folder

    if out:
        make_report_folder(out)
    report = evaluate(Classifier.load(model, device), dataset, split, precision=precision)
    if out:
        report.save(out)
    print(to_json(report.to_dict()) if as_json else report.summary())
    if out and not as_json:
        print(f"report in {out}")


def info(model: Model) -> None:
    """Describe a model: network, input, classes, training, metrics."""
    from foodvision.classifier.info import describe

    print(describe(model))
