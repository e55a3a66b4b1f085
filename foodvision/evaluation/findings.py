"""What was found wrong with a dataset: as text and as JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from foodvision.data.dataset import LabelledImages
from foodvision.data.faults import KINDS, Fault, Severity
from foodvision.errors import FoodvisionError
from foodvision.files.atomic import cannot_write, replacing
from foodvision.text import printable

SHOWN = 3
"""Examples in a line of the summary."""


class Place(NamedTuple):
    """An image: its `Example.name`, its split and its class; empty for a file that is left out."""

    path: str
    split: str
    label: str


@dataclass(frozen=True)
class FaultyImage:
    """An image and one of its faults."""

    place: Place
    fault: Fault


@dataclass(frozen=True)
class ClassFault:
    """What is wrong with a class, or with the classes together."""

    kind: str
    severity: Severity
    detail: str


@dataclass(frozen=True)
class Pair:
    """Two images of the same photograph.

    Attributes:
        first: comes first in the dataset.
        second: the other.
        similarity: in 0-1, as `Duplicates` has it; None if the bytes are identical.

    """

    first: Place
    second: Place
    similarity: float | None

    @property
    def across_splits(self) -> bool:
        """Whether one image is in another split: whoever learns the first has seen the second."""
        return self.first.split != self.second.split

    @property
    def across_classes(self) -> bool:
        """Whether one photograph has two labels."""
        return self.first.label != self.second.label

    @property
    def kind(self) -> str:
        """The gravest thing about it."""
        if self.across_splits:
            return "in two splits"
        return "under two labels" if self.across_classes else "duplicate"

    @property
    def importance(self) -> tuple[bool, bool, float]:
        """Sorts the gravest and most certain to the front."""
        similarity = 1 if self.similarity is None else self.similarity
        return not self.across_splits, not self.across_classes, -similarity


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong.

    Attributes:
        place: with the given label.
        suggested: the most probable class.
        probability: of that class, from a probe that has not seen the image, in 0-1.
        given_probability: of the given class.

    """

    place: Place
    suggested: str
    probability: float
    given_probability: float


@dataclass(frozen=True)
class Findings:
    """What is wrong with a dataset.

    Attributes:
        data: name of the dataset.
        splits: number of images of each class in each split.
        classes: faults of classes.
        faults: faults of single images, in the order of the dataset.
        pairs: images of the same photograph, the gravest first.
        groups: images of the same photograph, directly or through others.
        suspects: images whose label is probably wrong, the most suspicious first; None if labels
            were not checked.
        images: all images that were checked.

    """

    data: str
    splits: dict[str, dict[str, int]]
    classes: list[ClassFault]
    faults: list[FaultyImage]
    pairs: list[Pair]
    groups: list[list[Place]]
    suspects: list[Suspect] | None
    images: LabelledImages = field(repr=False)

    def leaks(self) -> dict[str, int]:
        """The number of validation and test images whose photograph is in train too."""
        leaks: Counter[str] = Counter()
        for group in self.groups:
            splits = Counter(place.split for place in group)
            if splits["train"]:
                leaks += splits
        return {split: leaks[split] for split in ("validation", "test") if leaks[split]}

    def faults_by_kind(self) -> dict[str, list[FaultyImage]]:
        """The faulty images of each kind that occurs, the gravest kind first."""
        by_kind = defaultdict(list)
        for faulty in self.faults:
            by_kind[faulty.fault.kind].append(faulty)
        return {kind: by_kind[kind] for kind in KINDS if kind in by_kind}

    def pairs_by_kind(self) -> dict[str, list[Pair]]:
        """The pairs of each `Pair.kind` that occurs, the gravest kind first."""
        by_kind = defaultdict(list)
        for pair in self.pairs:
            by_kind[pair.kind].append(pair)
        return dict(by_kind)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types for JSON."""
        return {
            "data": self.data,
            "n": len(self.images),
            "splits": self.splits,
            "counts": {row.kind: row.n for row in self.rows()},
            "classes": [asdict(fault) for fault in self.classes],
            "faults": [
                _place(faulty.place)
                | {"kind": faulty.fault.kind, "severity": faulty.fault.severity}
                | {"detail": faulty.fault.detail}
                for faulty in self.faults
            ],
            "leaks": self.leaks(),
            "duplicates": [
                {"first": _place(pair.first), "second": _place(pair.second)}
                | {"identical": pair.similarity is None, "similarity": pair.similarity}
                | {"across_splits": pair.across_splits, "across_classes": pair.across_classes}
                for pair in self.pairs
            ],
            "suspects": None
            if self.suspects is None
            else [
                _place(suspect.place)
                | {"suggested": suspect.suggested, "probability": suspect.probability}
                | {"given_probability": suspect.given_probability}
                for suspect in self.suspects
            ],
        }

    def rows(self) -> list[Row]:
        """One line for each kind of finding, the gravest first."""
        return sorted(self._rows(), key=lambda row: list(_HEADINGS).index(row.severity))

    def summary(self) -> str:
        """The findings as text, a line for each kind."""
        sizes = ", ".join(f"{sum(c.values()):,} {name}" for name, c in self.splits.items())
        lines = [f"{self.data}: {sizes} images in {len(self.images.classes)} classes"]
        severity = None
        for row in self.rows():
            if row.severity != severity:
                severity = row.severity
                lines.append(_HEADINGS[severity])
            more = f" and {row.n - SHOWN:,} more" if row.n > SHOWN else ""
            examples = "; ".join(row.examples[:SHOWN])
            lines.append(f"  {row.kind:<17}{row.n:>7,}  {examples}{more}")
        if severity is None:
            lines.append("nothing wrong was found")
        for split, count in self.leaks().items():
            total = sum(self.splits[split].values())
            lines.append(
                f"{count:,} of {total:,} {split} images are in train too: results on them are too "
                "good"
            )
        if self.suspects is None:
            lines.append("labels were not checked; --features MODEL does it")
        return "\n".join(map(printable, lines))

    def _rows(self) -> Iterator[Row]:
        for kind, pairs in self.pairs_by_kind().items():
            severity: Severity = "note" if kind == "duplicate" else "error"
            shown = [f"{pair.first.path} = {pair.second.path}" for pair in pairs[:SHOWN]]
            yield Row(severity, kind, len(pairs), shown)
        for kind, faults in self.faults_by_kind().items():
            shown = [f"{each.place.path} ({each.fault.detail})" for each in faults[:SHOWN]]
            yield Row(KINDS[kind], kind, len(faults), shown)
        if self.suspects:
            shown = [
                f"{each.place.path} ({each.place.label}, rather {each.suggested}: "
                f"{each.probability:.0%})"
                for each in self.suspects[:SHOWN]
            ]
            yield Row("warning", "suspected label", len(self.suspects), shown)
        by_kind: dict[tuple[Severity, str], list[str]] = defaultdict(list)
        for fault in self.classes:
            by_kind[fault.severity, fault.kind].append(fault.detail)
        for (severity, kind), details in by_kind.items():
            yield Row(severity, kind, len(details), details)


class Row(NamedTuple):
    """One kind of finding: how often, and the first examples."""

    severity: Severity
    kind: str
    n: int
    examples: Sequence[str]


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all; names that are not UTF-8 keep their bytes.

    Raises:
        FoodvisionError: if it cannot be written.

    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise FoodvisionError(cannot_write(path, error)) from error


_HEADINGS: dict[Severity, str] = {"error": "errors", "warning": "warnings", "note": "notes"}


def _place(place: Place) -> dict[str, str]:
    return {"path": place.path, "split": place.split, "class": place.label}
