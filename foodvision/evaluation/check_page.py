"""The page of a data check: what was found, with thumbnails, in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from foodvision.errors import ImageError
from foodvision.evaluation.findings import Findings, Place, Row, write_text
from foodvision.pages import render, thumbnail
from foodvision.progress import progress_bar

PAIRS, SUSPECTS, FAULTY = 60, 100, 12
"""Thumbnails are shown of this many pairs and suspects, and of faulty images of each kind."""


class Figure(NamedTuple):
    """A thumbnail (empty if the image does not open) and the lines below it."""

    image: str
    lines: Sequence[str]


class Section(NamedTuple):
    """One kind of finding with its thumbnails; those of a pair stand side by side."""

    row: Row
    figures: list[list[Figure]]


def save_page(findings: Findings, path: Path) -> None:
    """Write the page of a check.

    Raises:
        FoodvisionError: if the file cannot be written.

    """
    positions = {name: i for i, name in enumerate(findings.images.names())}
    wanted = _wanted(findings)
    sections: list[Section] = []
    with progress_bar() as bar:
        total = sum(len(figure) for figures in wanted.values() for figure in figures)
        task = bar.add_task("thumbnails", total=total, unit="images", info="")
        for row in findings.rows():
            figures: list[list[Figure]] = []
            for together in wanted.get(row.kind, []):
                figures.append([])
                for place, lines in together:
                    image = _thumbnail(findings, positions.get(place.path))
                    figures[-1].append(Figure(image, [place.path, *lines]))
                    bar.advance(task)
            sections.append(Section(row, figures))
    page = render("check.html", title=f"Check of {findings.data}", f=findings, sections=sections)
    write_text(path, page)


def _wanted(findings: Findings) -> dict[str, list[list[tuple[Place, list[str]]]]]:
    """For each kind of finding, the images to show together, and what to write below each."""
    wanted = {
        kind: [
            [(pair.first, _where(pair.first)), (pair.second, [*_where(pair.second), similar])]
            for pair in pairs[:PAIRS]
            for similar in ["identical" if pair.similarity is None else f"{pair.similarity:.3f}"]
        ]
        for kind, pairs in findings.pairs_by_kind().items()
    }
    for kind, faults in findings.faults_by_kind().items():
        wanted[kind] = [
            [(each.place, [*_where(each.place), each.fault.detail])] for each in faults[:FAULTY]
        ]
    wanted["suspected label"] = [
        [
            (
                each.place,
                [
                    each.place.split,
                    f"given {each.place.label} {each.given_probability:.1%}",
                    f"rather {each.suggested} {each.probability:.1%}",
                ],
            )
        ]
        for each in (findings.suspects or ())[:SUSPECTS]
    ]
    return wanted


def _where(place: Place) -> list[str]:
    return [f"{place.split}, {place.label}"] if place.split else []


def _thumbnail(findings: Findings, position: int | None) -> str:
    if position is None:
        return ""
    try:
        return thumbnail(findings.images[position].read())
    except ImageError:
        return ""
