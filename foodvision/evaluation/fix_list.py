"""What to do about the findings, as a CSV file to review: which images to remove or to relabel."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

from foodvision.evaluation.findings import Findings, Place, write_text
from foodvision.text import to_cell


class Fix(NamedTuple):
    """A row of the list.

    Attributes:
        path: of the image, as in the dataset.
        problem: in a few words.
        action: ``remove`` or ``relabel``.
        suggested_class: for ``relabel``, else empty.

    """

    path: str
    problem: str
    action: str
    suggested_class: str


def list_fixes(findings: Findings) -> list[Fix]:
    """One row for each image that something should be done about, the gravest first.

    Images that do not open or are damaged are removed, as are all images of a photograph that is
    under two labels. Of other duplicates, one is kept: in test rather than in validation, in
    validation rather than in train. A suspicious label is replaced.
    """
    fixes: dict[Place, Fix] = {}

    def add(place: Place, problem: str, action: str, suggested: str = "") -> None:
        fixes.setdefault(place, Fix(place.path, problem, action, suggested))

    for faulty in findings.faults:
        if faulty.fault.severity == "error":
            add(faulty.place, f"{faulty.fault.kind}: {faulty.fault.detail}", "remove")
    for group in findings.groups:
        intact = [place for place in group if place not in fixes]
        contradictory = len({place.label for place in group}) > 1
        kept = min(intact or group, key=_order)
        for place in intact:
            twin = kept if place != kept else next(other for other in group if other != kept)
            where = f"{twin.path} ({twin.split}, {twin.label})"
            if contradictory:
                add(place, f"under two labels: same as {where}", "remove")
            elif place != kept:
                add(place, f"duplicate of {where}", "remove")
    for suspect in findings.suspects or ():
        problem = (
            f"suspected label: {suspect.place.label} has {suspect.given_probability:.3f}, "
            f"{suspect.suggested} {suspect.probability:.3f}"
        )
        add(suspect.place, problem, "relabel", suspect.suggested)
    return list(fixes.values())


def save_fix_list(findings: Findings, path: Path) -> None:
    """Write `list_fixes` as CSV; `foodvision.text.from_cell` gives the names back.

    Raises:
        FoodvisionError: if the file cannot be written.

    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(Fix._fields)
    writer.writerows([to_cell(cell) for cell in fix] for fix in list_fixes(findings))
    write_text(path, text.getvalue())


def _order(place: Place) -> int:
    return {"test": 0, "validation": 1}.get(place.split, 2)
