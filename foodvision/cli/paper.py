"""`foodvision paper parity`."""

from __future__ import annotations

from typing import Annotated

import typer

from foodvision.cli.arguments import Json

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
