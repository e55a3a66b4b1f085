"""`foodvision caption` and `caption-app`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from foodvision.captioning import BASE
from foodvision.cli.arguments import Browser, Device, Host, Json, Port, Share


def caption(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT…",
            help="File, folder, glob, URL, or - for stdin: an image, or paths, one per line.",
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="BLIP model folder, or Hub id OWNER/NAME.")] = BASE,
    prefix: Annotated[str, typer.Option(help="How captions begin, as in 'a photo of'.")] = "",
    beams: Annotated[
        int, typer.Option(min=1, max=20, help="Captions continued side by side; 1 is fastest.")
    ] = 3,
    max_length: Annotated[
        int, typer.Option(min=1, max=200, help="Most tokens after the prefix.")
    ] = 20,
    captions: Annotated[
        int, typer.Option(min=1, max=20, help="Captions of each image, best first.")
    ] = 1,
    repetition_penalty: Annotated[
        float, typer.Option(min=1, max=10, help="Above 1, words are repeated less.")
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="F.csv|F.jsonl|DIR",
            help="Write a file, or a folder of Parquet files, instead of printing.",
        ),
    ] = None,
    text_files: Annotated[
        bool, typer.Option("--text-files", help="Also write photo.txt beside photo.jpg.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the interrupted run that wrote --out.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 8,
    device: Device = "auto",
    as_json: Json = False,
    self_check: Annotated[
        bool,
        typer.Option(
            "--self-check",
            help="Caption the model card's image (INPUT, or fetched) and compare with the card.",
        ),
    ] = False,
) -> None:
    """Describe images in a sentence each, with BLIP; a bad image does not stop the others."""
    from foodvision.captioning.caption import Caption, CaptionSettings
    from foodvision.captioning.output import made_with, write_captions
    from foodvision.captioning.repository import find_captioner
    from foodvision.captioning.text_files import TextFiles
    from foodvision.rows.inputs import find_inputs
    from foodvision.rows.output import open_table

    if self_check:
        _check(model, device, inputs or [], as_json)
        return
    if not inputs:
        raise typer.BadParameter("INPUT: name the images, or give --self-check")
    if resume and out is None:
        raise typer.BadParameter("--resume: give the --out of the interrupted run")
    try:
        settings = CaptionSettings(prefix, beams, max_length, captions, repetition_penalty)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    table = open_table(out, resume) if out else None
    found = find_inputs(inputs)
    repository = find_captioner(model)  # before importing torch, which takes seconds
    if table:
        table.begin(made_with(repository, settings, device), found.names())

    from foodvision.captioning.captioner import Captioner

    captioner = Captioner.load(model, device, backend=table.backend if table else None)
    if table:
        table.backend = captioner.backend
    rows = found.rows(
        lambda sources: captioner.caption_many(sources, settings, batch_size),
        Caption,
        batch_size,
        first=table.rows if table else 0,
    )
    files = TextFiles()
    if text_files:
        rows = files.write(rows)
    write_captions(rows, len(found), settings, table, as_json)
    if text_files:
        print(files.summary(), file=sys.stderr)


def _check(model: str, device: str, inputs: list[str], as_json: bool) -> None:
    from foodvision.captioning.repository import find_captioner

    if len(inputs) > 1:
        raise typer.BadParameter("--self-check takes one image, the model card's")
    find_captioner(model)

    from foodvision.captioning.captioner import Captioner
    from foodvision.captioning.self_check import DEMO, self_check, write_checks

    checks = self_check(Captioner.load(model, device), *inputs or [DEMO])
    write_checks(checks, as_json)


def open_caption_app(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="BLIP model folder, or Hub id OWNER/NAME.")
    ] = BASE,
    examples: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of images to offer as examples.")
    ] = None,
    share: Share = False,
    host: Host = "127.0.0.1",
    port: Port = None,
    browser: Browser = True,
    device: Device = "auto",
) -> None:
    """Open the captioning app in the browser."""
    from foodvision.apps.serving import Address
    from foodvision.apps.uploads import find_examples
    from foodvision.captioning.repository import find_captioner

    images = find_examples(examples) if examples else []
    find_captioner(model)  # before importing torch, which takes seconds

    from foodvision.apps.caption import launch_caption_app
    from foodvision.captioning.captioner import Captioner

    launch_caption_app(Captioner.load(model, device), images, Address(host, port, browser, share))
