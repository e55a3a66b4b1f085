"""The arguments that several commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Data: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Folder of class folders, CSV file with path and label, Parquet folder or glob, "
        "hub:OWNER/NAME, the address of Parquet files to stream (s3://, hf://, file://, …), or the "
        "name of a dataset that 'data get' fetches: drawn, mini, mini20, big.",
    ),
]
Model: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODEL", help="Model folder, Hub id OWNER/NAME, or box.")
]
ModelOption: TypeAlias = Annotated[
    str, typer.Option(help="Model folder, Hub id OWNER/NAME, or box, which ships with foodvision.")
]
Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Backend: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RUNTIME/PRECISION",
        help="What runs an exported model, such as openvino/int8; box takes torch as well.  "
        "[default: the fastest here]",
    ),
]
Host: TypeAlias = Annotated[str, typer.Option(help="0.0.0.0 accepts the whole network.")]
Port: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="[default: the first free port from 7860]"),
]
Browser: TypeAlias = Annotated[bool, typer.Option(help="Open a browser window.")]
Share: TypeAlias = Annotated[
    bool, typer.Option("--share", help="Also serve it at a public address of Gradio's, for days.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
