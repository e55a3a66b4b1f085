"""`foodvision predict`."""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from foodvision.cli.arguments import Device, Json


def predict(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT…", help="File, folder, glob, URL, or - for stdin.")
    ],
    model: Annotated[str, typer.Option(help="Model folder, or Hub id OWNER/NAME.")],
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="F.csv|F.jsonl|DIR",
            help="Write a file, or a folder of Parquet files, instead of printing.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes in a printed line, best first.")] = 1,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="An answer below this probability is marked unsure.  [default: the model's own]",
        ),
    ] = None,
    sort_into: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Link each image into DIR/CLASS, or DIR/unsure; moves nothing."
        ),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy into --sort-into, not link.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
    device: Device = "auto",
) -> None:
    """Classify images; a bad image does not stop the others."""
    from foodvision.classifier.info import describe
    from foodvision.classifier.output import check_out, write_predictions
    from foodvision.classifier.predict import find_inputs
    from foodvision.classifier.sorting import Sorter

    if sort_into == "" or (copy and sort_into is None):
        raise typer.BadParameter("--sort-into: give the folder to sort into")
    check_out(out)
    sources, missing = find_inputs(inputs)
    describe(model)  # whatever is wrong with it is said now: importing torch takes seconds
    sorter = Sorter(Path(sort_into), copy) if sort_into else None

    from foodvision.classifier.classifier import Classifier

    classifier = Classifier.load(model, device)
    predictions = classifier.predict_many(sources, batch_size, threshold)
    if sorter:
        predictions = sorter.sort(predictions)
    total = len(missing) + len(sources)
    write_predictions(chain(missing, predictions), total, out, as_json, top, classifier.classes)
    if sorter:
        print(sorter.summary(), file=sys.stderr)
