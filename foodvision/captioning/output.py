"""Captions as lines, JSON, or a table with the columns path, caption, caption_2, … and error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

from foodvision.captioning.caption import Caption, CaptionSettings
from foodvision.captioning.repository import CaptionRepository
from foodvision.rows.output import to_stdout, to_table
from foodvision.rows.table import Columns, Table
from foodvision.text import printable


def made_with(
    repository: CaptionRepository, settings: CaptionSettings, device: str
) -> dict[str, Any]:
    """What a table's captions are computed with, for `Table.begin`."""
    return {"model": repository.sha256(), "device": device, **asdict(settings)}


def write_captions(
    captions: Iterable[Caption],
    total: int,
    settings: CaptionSettings,
    table: Table | None = None,
    as_json: bool = False,
) -> None:
    """Write the captions of each image as they come.

    Args:
        captions: of any number of images; those after `table.rows`.
        total: number of images, with those that the table has.
        settings: the captions' own.
        table: where they go; None for stdout.
        as_json: one JSON document on stdout, of the same rows that go into a table.

    Raises:
        FoodvisionError: if the table cannot be written, or if no image at all could be opened.
        RunInterruptedError: if Ctrl-C or SIGTERM stopped the writing of a table.

    """
    if not table:
        to_stdout(captions, total, "captioning", as_json, _lines)
        return
    names = ["caption", *(f"caption_{i}" for i in range(2, settings.captions + 1))]
    columns: Columns = dict.fromkeys(("path", *names, "error"), str)

    def cells(row: Caption) -> dict[str, Any]:
        return row.to_dict() | dict(zip_longest(names, row.captions))

    to_table(captions, total, "captioning", table, columns, cells, as_json)


def _lines(row: Caption) -> str:
    return "\n".join(printable(f"{row.path}: {caption}") for caption in row.captions)
