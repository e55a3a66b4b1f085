"""`foodvision export` and `app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foodvision.backends import Format
from foodvision.cli.arguments import Browser, Device, Host, Model, Port


def export(
    model: Model,
    formats: Annotated[list[Format], typer.Option("--format", help="May be repeated.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Add graphs in 8-bit integers: smaller and faster.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Its validation images check the graphs, its training images calibrate int8.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New folder.  [default: MODEL-export]")] = None,
) -> None:
    """Write a classifier as graphs for other runtimes, each proven equal to the network."""
    from foodvision.classifier.info import describe
    from foodvision.text import printable

    describe(model)  # whatever is wrong with it is said now: importing torch takes seconds
    folder = model.rstrip("/") if Path(model).is_dir() else Path(model).name  # or a Hub id
    out = out or Path(f"{folder}-export")

    from foodvision.export.export import export

    checks = export(model, formats, out, data, int8)
    for run, check in checks.items():
        print(printable(f"{run}: {check.summary()}"))
    print(printable(f"Next: foodvision predict IMAGE --model {out}"))


def open_app(
    model: Model,
    host: Host = "127.0.0.1",
    port: Port = None,
    browser: Browser = True,
    device: Device = "auto",
) -> None:
    """Open the app of a classifier in the browser."""
    from foodvision.classifier.info import describe

    describe(model)  # whatever is wrong with it is said now: importing torch takes seconds

    from foodvision.apps.classify import launch_app
    from foodvision.classifier.classifier import Classifier

    launch_app(Classifier.load(model, device), host, port, browser)
