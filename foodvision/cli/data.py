"""`foodvision data get`, `data split` and `data check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foodvision.cli.arguments import Data, Device, Json

app = typer.Typer(help="Fetch, split and check datasets.", no_args_is_help=True)


@app.command()
def get(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="drawn: drawn pizza, steak and sushi. mini, mini20: photographs of the three, "
            "10 % and 20 % of Food-101's, as in the course. big: Food-101, all 101 classes, 5 GB "
            "(DATA hub:ethz/food101 is the same without 'data get').",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write.  [default: data/NAME]")] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Cut mini or mini20 from this Food-101 instead."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the cut from --source.")] = 0,
) -> None:
    """Fetch a dataset into a folder; an interrupted download resumes."""
    from foodvision.data import get_data

    folder = out or Path("data") / name
    get_data(name, folder, source, seed)
    print(folder)


@app.command()
def split(
    data: Data,
    validation: Annotated[float, typer.Option(help="Share of the validation split.")] = 0.15,
    test: Annotated[float, typer.Option(help="Share of the test split.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a split.csv, and keep it as split.csv.bak.")
    ] = False,
    copies_only: Annotated[
        bool,
        typer.Option(
            "--copies-only",
            help="Look for identical files only: a million images take minutes, not hours.",
        ),
    ] = False,
) -> None:
    """Split a flat folder; writes split.csv and copies nothing.

    Near-duplicates, such as a photograph and a cropped copy of it, get the same split. Run it again
    to record images that were added: they follow their near-duplicates, and no other image moves.
    """
    from foodvision.data import SPLIT_CSV, load_dataset, split_folder

    dataset = load_dataset(data, follow_split_csv=False)
    fractions = {"test": test, "validation": validation}
    divided = split_folder(dataset, seed, fractions, force, near=not copies_only)
    for name, images in divided.splits.items():
        print(f"{name:<11}{len(images):>7,} images")
    print(f"{dataset.root}/{SPLIT_CSV}")


@app.command()
def check(
    data: Data,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Look for wrong labels with this network's features: weights as 'train --weights' "
            "takes them, not trained on these images.",
        ),
    ] = None,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with thumbnails.")] = None,
    fix_list: Annotated[
        Path | None, typer.Option(help="Write a CSV file of images to remove or relabel.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Look for faulty images, duplicates, leaks between splits and wrong labels."""
    from foodvision.data import load_dataset
    from foodvision.files.atomic import check_writable
    from foodvision.text import to_json

    for file in (html, fix_list):
        if file:
            check_writable(file)
    dataset = load_dataset(data, strict=False)

    from foodvision.evaluation import check
    from foodvision.evaluation.check_page import save_page
    from foodvision.evaluation.fix_list import save_fix_list

    findings = check(dataset, features, device)
    if fix_list:
        save_fix_list(findings, fix_list)
    if html:
        save_page(findings, html)
    print(to_json(findings.to_dict()) if as_json else findings.summary())
