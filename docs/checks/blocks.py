"""The code blocks of a page, and what each kind of block means.

    sh       commands; each must exit with 0
    console  `$ command` and what it prints, line by line; … stands for anything
    python   a program; all of a page share their names
    toml     a file, whose name is the first line's comment
    text     shown and not run: output, or a command that needs what no test has

A command or program that is not run says so in the paragraph above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

KINDS = {"sh", "console", "python", "toml", "text"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its text, the line of the page, the paragraph above it."""

    kind: str
    text: str
    line: int
    above: str

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Each command, and the lines that it is said to print."""
        text = self.text.replace("\\\n", " ")
        if self.kind == "sh":
            if "<<" in text:
                yield text, []
                return
            for line in text.splitlines():
                if command := re.sub(r"\s+# .*", "", line).strip():
                    yield command, []
        elif self.kind == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, *printed = part.strip("\n").splitlines()
                yield command, printed


def read_blocks(page: Path) -> list[Block]:
    """All blocks of a page, in their order; directives of Sphinx are none."""
    tokens = MarkdownIt().parse(page.read_text())
    blocks = []
    above = ""
    for token in tokens:
        if token.type == "inline":
            above = token.content
        if token.type == "fence" and not token.info.startswith("{"):
            line = token.map[0] + 1 if token.map else 0
            blocks.append(Block(token.info.strip(), token.content, line, above))
    return blocks
