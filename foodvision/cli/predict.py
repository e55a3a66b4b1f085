"""`foodvision predict`."""

from __future__ import annotations

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
        Path | None, typer.Option(help="Write F.csv or F.jsonl instead of printing.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
    device: Device = "auto",
) -> None:
    """Classify images; a bad image does not stop the others."""
    from foodvision.classifier.classifier import Classifier
    from foodvision.classifier.predict import find_inputs, write_predictions

    sources = find_inputs(inputs)
    predictions = Classifier.load(model, device).predict_many(sources, batch_size)
    write_predictions(predictions, len(sources), out, as_json)
