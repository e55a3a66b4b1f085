"""`foodvision demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foodvision.cli.arguments import Device


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.  [default: runs/demo]")
    ] = None,
    open_app: Annotated[bool, typer.Option("--app", help="Open the app at the end.")] = False,
    device: Device = "auto",
) -> None:
    """Do everything once, offline: data, training, report, app."""
    from foodvision.demo import run_demo

    run_demo(out, open_app, device)
