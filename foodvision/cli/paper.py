"""`foodvision paper parity` and `course`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foodvision.cli.arguments import Data, Device, Json
from foodvision.paper.course_figures import EXPERIMENTS, SCRATCH_WHY

app = typer.Typer(no_args_is_help=True)


@app.callback()
def paper() -> None:
    """Check the paper's claims."""


@app.command()
def parity(
    networks: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            help="May be repeated.  [default: vit_b16, _b32, _l16, dinov2_s14, _b14, _l14]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare our logits with those of other implementations."""
    import json

    from foodvision.paper.parity import MODELS, measure_parity

    rows = []
    for row in measure_parity(networks or MODELS):
        rows.append(row._asdict())
        if not as_json:
            print(f"{row.family:<13}{row.model:<22}{row.max_abs_diff:.1e}", flush=True)
    if as_json:
        print(json.dumps(rows))


@app.command()
def course(
    data: Data,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Pretrained weights, as 'train' takes them: a ViT's, a ViT's at 384 px, or any "
            "other network's in place of EfficientNet-B2's. May be repeated."
        ),
    ] = None,
    experiments: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"{', '.join(EXPERIMENTS)}. May be repeated.  [default: all but {SCRATCH_WHY}, "
            "which trains ViT-B/16 five times]",
        ),
    ] = None,
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the runs, course.json and course.md; runs that it holds are not "
            "repeated.  [default: runs/DATA-course]"
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Run the course's experiments beside its own figures.

    Images are cut to the course's numbers by SHA-256.
    """
    for name in experiments or ():
        if name not in EXPERIMENTS:
            raise typer.BadParameter(f"--experiments {name}: one of {', '.join(EXPERIMENTS)}")
    from foodvision.data import load_dataset
    from foodvision.text import to_json

    dataset = load_dataset(data)  # whatever is wrong with it is said now: torch takes seconds

    from foodvision.paper.course import run_course

    found = run_course(dataset, weights or (), experiments or (), out, device)
    print(to_json(found.to_dict()) if as_json else found.summary())
