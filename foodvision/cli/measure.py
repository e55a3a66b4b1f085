"""`foodvision evaluate`, `compare`, `benchmark`, `explain` and `info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foodvision.backends import Precision
from foodvision.cli.arguments import Backend, Data, Device, Json, Model, ModelOption
from foodvision.weights.box import BOX


def evaluate(
    model: Model,
    data: Data,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation, test or all.  [default: test if there is one]"),
    ] = None,
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the report: report.html, and its parts as PNG, JSON and CSV."
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="bf16 is faster on some devices and slightly less exact.  [default: float32, or "
            "that of an export]"
        ),
    ] = None,
    backend: Backend = None,
    device: Device = "auto",
) -> None:
    """Measure a classifier: log loss, accuracy, every class."""
    from foodvision.classifier.describe import describe
    from foodvision.data import load_dataset
    from foodvision.text import to_json

    describe(model)  # before importing torch, which takes seconds
    dataset = load_dataset(data)

    from foodvision.classifier.classifier import Classifier
    from foodvision.evaluation import evaluate, make_report_folder

    if out:
        make_report_folder(out)
    report = evaluate(Classifier.load(model, device, backend), dataset, split, precision=precision)
    page = report.save(out) if out else None
    print(to_json(report.to_dict()) if as_json else report.summary())
    if page and not as_json:
        print(f"report: {page}")


def compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL…", help="Model folders, Hub ids OWNER/NAME, or box."),
    ],
    data: Annotated[str, typer.Option(metavar="DATA", help="Test data; see 'evaluate'.")],
    goal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="accuracy or fps at least; log_loss, mb or parameters at most. May be repeated.",
        ),
    ] = None,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables and the chart.")] = None,
    device: Device = "auto",
) -> None:
    """Compare classifiers: quality, size, speed, and what is established."""
    from foodvision.classifier.describe import describe
    from foodvision.data import load_dataset
    from foodvision.goals import parse_goals
    from foodvision.text import to_json

    try:
        goals = parse_goals(goal or [])
    except ValueError as error:
        raise typer.BadParameter(f"--goal: {error}") from error
    for model in models:
        describe(model)  # before importing torch, which takes seconds
    dataset = load_dataset(data)

    from foodvision.evaluation import compare, make_report_folder

    if out:
        make_report_folder(out)
    comparison = compare(models, dataset, goals, device)
    if out:
        comparison.save(out)
    print(to_json(comparison.to_dict()) if as_json else comparison.summary())
    if out and not as_json:
        print(f"comparison in {out}")


def benchmark(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL…", help="Model folders, exported folders, Hub ids, or box."),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Its test images are timed and scored.  [default: drawings]"
        ),
    ] = None,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the table and a chart.")] = None,
    device: Device = "auto",
) -> None:
    """Time a model stage by stage: each precision, each exported graph."""
    from foodvision.classifier.describe import describe
    from foodvision.data import load_dataset
    from foodvision.text import to_json

    for model in models:
        describe(model)  # before importing torch, which takes seconds
    dataset = load_dataset(data) if data else None

    from foodvision.evaluation import make_report_folder
    from foodvision.export.benchmark import benchmark

    if out:
        make_report_folder(out)
    measured = benchmark(models, dataset, device)
    if out:
        measured.save(out)
    print(to_json(measured.to_dict()) if as_json else measured.summary())
    if out and not as_json:
        print(f"benchmark in {out}")


def explain(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="File or URL.")],
    model: ModelOption = BOX,
    out: Annotated[
        Path | None, typer.Option(help="PNG to write.  [default: explain-NAME.png, here]")
    ] = None,
    device: Device = "auto",
) -> None:
    """Show what the network looked at: attention of a ViT, Grad-CAM of a CNN."""
    from foodvision.classifier.describe import describe
    from foodvision.files.atomic import check_writable

    if out and out.suffix.lower() != ".png":
        raise typer.BadParameter(f"--out {out}: must end in .png")
    out = out or Path(f"explain-{Path(image).stem or 'image'}.png")
    check_writable(out)
    describe(model)  # before importing torch, which takes seconds

    from foodvision.classifier.torch_classifier import TorchClassifier
    from foodvision.explanation import explain
    from foodvision.plots import plot_explanation
    from foodvision.text import printable

    explanation = explain(TorchClassifier.load(model, device), image)
    plot_explanation(
        explanation.image,
        {explanation.method: explanation.map},
        explanation.heads,
        f"{explanation.label}, {explanation.probability:.1%}",
        out,
    )
    print(printable(f"{explanation.label}  {explanation.probability:.1%}"))
    print(printable(f"{explanation.method} in {out}"))


def info(
    model: Model,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer as well.")] = False,
) -> None:
    """Describe a model: network, input, classes, training, metrics."""
    from foodvision.classifier.describe import describe

    print(describe(model))
    if layers:
        from foodvision.classifier.layers import layer_table

        print(layer_table(model))
