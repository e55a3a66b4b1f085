"""A table as text: rows of cells come in; lines for a terminal, or Markdown, go out."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from foodvision.text import printable, to_markdown


@dataclass(frozen=True)
class Table:
    """Cells under a title; names from elsewhere are escaped when it is written.

    Attributes:
        title: one line above it.
        header: of each column.
        rows: of as many cells.
        note: what a reader must know, below it; may be empty.
        words: the columns that are aligned left; numbers are aligned right.

    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""
    words: Collection[int] = (0,)

    def to_text(self) -> str:
        """Lines of equal width."""
        cells = [[printable(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
        lines = [printable(self.title)]
        for row in cells:
            padded = []
            for column, cell in enumerate(row):
                space = " " * (widths[column] - _width(cell))
                padded.append(cell + space if column in self.words else space + cell)
            lines.append("  ".join(padded).rstrip())
        return "\n".join([*lines, *([printable(self.note)] if self.note else [])])

    def to_markdown(self) -> str:
        """A section of a Markdown document."""
        cells = [[to_markdown(cell) for cell in row] for row in (self.header, *self.rows)]
        rule = ["---" if i in self.words else "---:" for i in range(len(self.header))]
        rows = ["| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:])]
        parts = [f"## {to_markdown(self.title)}", "\n".join(rows)]
        return "\n\n".join([*parts, *([to_markdown(self.note)] if self.note else [])])


def spread(values: Sequence[float], form: str) -> str:
    """A cell for the runs of several seeds: their mean (lowest to highest), or the only value.

    Args:
        values: at least one.
        form: format specification of each number, such as ``.1%``.

    """
    mean = format(sum(values) / len(values), form)
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):{form}} to {max(values):{form}})"


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))
