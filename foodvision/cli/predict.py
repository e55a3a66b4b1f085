"""`foodvision predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from foodvision.cli.arguments import Backend, Device, Json, ModelOption
from foodvision.weights.box import BOX


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT…",
            help="File, folder, glob, URL, s3://…, Parquet of images, CSV with a column path, or - "
            "for stdin: an image, or paths, one per line.",
        ),
    ],
    model: ModelOption = BOX,
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="F.csv|F.jsonl|DIR",
            help="Write a file, or a folder of Parquet files, instead of printing lines.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the interrupted run that wrote --out.")
    ] = False,
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
    backend: Backend = None,
    device: Device = "auto",
    engine: Annotated[
        Literal["embedded", "ray"],
        typer.Option(help="This process, or a cluster of Ray: many devices, for a million images."),
    ] = "embedded",
) -> None:
    """Classify images; a bad image does not stop the others."""
    from foodvision.classifier.describe import describe
    from foodvision.classifier.output import made_with, write_predictions
    from foodvision.classifier.predict import Prediction
    from foodvision.classifier.sorting import Sorter
    from foodvision.images.decode import ImageSource
    from foodvision.rows.inputs import find_inputs
    from foodvision.rows.output import open_table

    if sort_into == "" or (copy and sort_into is None):
        raise typer.BadParameter("--sort-into: give the folder to sort into")
    if resume and out is None:
        raise typer.BadParameter("--resume: give the --out of the interrupted run")
    if engine == "ray":
        from foodvision.classifier.ray_engine import check_ray, predict_on_ray

        check_ray()
    table = open_table(out, resume) if out else None
    found = find_inputs(inputs)
    describe(model)  # before importing torch, which takes seconds
    if table:
        table.backend = backend
        table.begin(made_with(model, threshold), found.names())
        backend = table.backend
    sorter = Sorter(Path(sort_into), copy) if sort_into else None

    from foodvision.classifier.classifier import Classifier

    if model == BOX and device not in ("auto", "cpu"):
        backend = backend or "torch"
    # With Ray it only names the classes and the backend; the cluster may have other devices.
    classifier = Classifier.load(model, device if engine == "embedded" else "cpu", backend)
    if table:
        table.backend = classifier.backend

    def answer(sources: Iterator[ImageSource]) -> Iterator[Prediction]:
        if engine == "ray":
            return predict_on_ray(model, device, classifier.backend, sources, batch_size, threshold)
        return classifier.predict_many(sources, batch_size, threshold)

    predictions = found.rows(answer, Prediction, batch_size, first=table.rows if table else 0)
    if sorter:
        predictions = sorter.sort(predictions)
    write_predictions(predictions, len(found), table, as_json, top, classifier.classes)
    if sorter:
        print(sorter.summary(), file=sys.stderr)
