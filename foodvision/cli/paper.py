"""`foodvision paper …`: what can be checked of the paper, and the course's experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foodvision.cli.arguments import Data, Device, Json
from foodvision.cli.train import parse_settings
from foodvision.paper.course_figures import EXPERIMENTS, SCRATCH_WHY

Weights = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Model folder, or any other weights that 'train --weights' takes.",
    ),
]

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
def table1(as_json: Json = False) -> None:
    """Count the parameters and multiply-adds of Table 1's networks."""
    from foodvision.paper.table1 import measure_table1, table1
    from foodvision.text import to_json

    sizes = measure_table1()
    print(to_json([size.to_dict() for size in sizes]) if as_json else table1(sizes).to_text())


@app.command()
def equations(as_json: Json = False) -> None:
    """Compare Equations 1-8, written as naive loops, with our code."""
    from foodvision.paper.equations import equations_table, measure_equations
    from foodvision.text import to_json

    rows = measure_equations()
    as_dicts = [row._asdict() for row in rows]
    print(to_json(as_dicts) if as_json else equations_table(rows).to_text())


@app.command()
def figures(
    model: Weights,
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE…]", help="Files or URLs.  [default: drawings]"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("paper-figures"),
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Draw Figures 6 and 7 of a Vision Transformer."""
    from foodvision.evaluation import make_report_folder
    from foodvision.paper.figures import draw_figures
    from foodvision.text import to_json

    make_report_folder(out)
    drawn = draw_figures(model, images or [], out, device)
    print(to_json(drawn.to_dict()) if as_json else drawn.summary())


@app.command()
def positions(
    data: Data,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            help="none, 1d, 2d, relative, sines, average or hybrid; may be repeated.  [default: "
            "the first five]",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant.")] = 1,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the runs."),
    ] = None,
    as_json: Json = False,
    device: Device = "auto",
) -> None:
    """Train Table 8 in miniature: other position embeddings."""
    from foodvision.paper.positions import TABLE_8, compare_positions, positions_table
    from foodvision.text import to_json

    settings = parse_settings(changes or [])
    rows = compare_positions(data, variants or TABLE_8, seeds, settings, device)
    print(to_json([row.to_dict() for row in rows]) if as_json else positions_table(rows).to_text())


@app.command("few-shot")
def few_shot(data: Data, model: Weights, as_json: Json = False, device: Device = "auto") -> None:
    """Classify with a few images per class: least squares on frozen features."""
    from foodvision.paper.few_shot import evaluate_few_shot
    from foodvision.text import to_json

    found = evaluate_few_shot(model, data, device=device)
    print(to_json(found.to_dict()) if as_json else found.table().to_text())


@app.command("data-size")
def data_size(
    data: Data,
    to: Annotated[
        str,
        typer.Option(
            metavar="DATA", help="Dataset to transfer to; its classes are not pretrained on."
        ),
    ],
    fractions: Annotated[
        list[float] | None,
        typer.Option(
            "--fraction",
            metavar="F",
            help="Share of the images to pretrain on, 0-1; may be repeated.  [default: 0, 0.01, "
            "0.1, 0.3, 1]",
        ),
    ] = None,
    widths: Annotated[
        list[int] | None,
        typer.Option("--width", help="Hidden size of the network; may be repeated.  [default: 96]"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 1,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the pretraining."),
    ] = None,
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the runs, data-size.json, .md and .png; runs that it holds are not "
            "repeated.  [default: runs/DATA-to-DATA-data-size]"
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Pretrain on more and more images: Figures 3 and 4 in miniature."""
    from foodvision.paper.data_size import FRACTIONS, WIDTHS, measure_data_sizes
    from foodvision.text import to_json

    found = measure_data_sizes(
        data,
        to,
        fractions or FRACTIONS,
        widths or WIDTHS,
        seeds,
        parse_settings(changes or []),
        out,
        device,
    )
    print(to_json(found.to_dict()) if as_json else found.table().to_text())


@app.command("self-supervision")
def self_supervision(
    data: Data,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 1,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the training."),
    ] = None,
    pretraining: Annotated[
        list[str] | None,
        typer.Option(
            "--set-pretraining", metavar="KEY=VALUE", help="Change a setting of the pretraining."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Measure both with this teacher too; folder or Hub id OWNER/NAME."
        ),
    ] = None,
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the runs, self-supervision.json and .md; runs that it holds are not "
            "repeated.  [default: runs/DATA-self-supervision]"
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Pretrain on the same images without labels: section 4.6 in miniature."""
    from foodvision.paper.self_supervision import measure_self_supervision
    from foodvision.text import to_json

    settings, before = (parse_settings(given or []) for given in (changes, pretraining))
    found = measure_self_supervision(data, seeds, settings, before, teacher, out, device)
    print(to_json(found.to_dict()) if as_json else found.table().to_text())


@app.command("all")
def check_all(
    model: Weights,
    data: Annotated[str, typer.Option(metavar="DATA", help="Images; see 'paper positions'.")],
    out: Annotated[Path, typer.Option(help="Folder for figures, tables and numbers.")],
    device: Device = "auto",
) -> None:
    """Run table1, equations, figures, few-shot and positions, into one folder."""
    from foodvision.paper.everything import PAGE, check_everything
    from foodvision.text import printable

    for section in check_everything(model, data, out, device):
        print(f"{section.text}\n", flush=True)
    print(printable(f"all of it in {out / PAGE}"))


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

    dataset = load_dataset(data)  # before importing torch, which takes seconds

    from foodvision.paper.course import run_course

    found = run_course(dataset, weights or (), experiments or (), out, device)
    print(to_json(found.to_dict()) if as_json else found.summary())
