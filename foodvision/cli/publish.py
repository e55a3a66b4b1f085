"""`foodvision app`."""

from __future__ import annotations

from typing import Annotated

import typer

from foodvision.cli.arguments import Device, Model


def open_app(
    model: Model,
    host: Annotated[str, typer.Option(help="0.0.0.0 accepts the whole network.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="[default: the first free port from 7860]")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    device: Device = "auto",
) -> None:
    """Open the app of a classifier in the browser."""
    from foodvision.classifier.info import describe

    describe(model)  # whatever is wrong with it is said now: importing torch takes seconds

    from foodvision.apps.classify import launch_app
    from foodvision.classifier.classifier import Classifier

    launch_app(Classifier.load(model, device), host, port, browser)
