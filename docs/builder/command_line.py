"""The directive `{command-line}`: a section for each command, with what its `--help` prints."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.testing import CliRunner

from foodvision.cli import app as command_line


class CommandLine(SphinxDirective):
    """Sections in the order of `foodvision --help`."""

    def run(self) -> list[nodes.Node]:
        """The directive's nodes."""
        sections = [_section("foodvision", _help())]
        sections += [_section(f"foodvision {' '.join(c)}", _help(*c)) for c in commands()]
        return self.parse_text_to_nodes("\n".join(sections), allow_section_headings=True)


def commands() -> Iterator[tuple[str, ...]]:
    """Every command as its words, a group before its members."""
    for name, command in typer.main.get_command(command_line).commands.items():
        yield (name,)
        for member in getattr(command, "commands", ()):
            yield name, member


def _help(*words: str) -> str:
    result = CliRunner().invoke(
        command_line, [*words, "--help"], prog_name="foodvision", env={"COLUMNS": "88"}
    )
    assert result.exit_code == 0, result.output
    return result.output


def _section(heading: str, text: str) -> str:
    return f"## {heading}\n\n```text\n{text.strip()}\n```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
