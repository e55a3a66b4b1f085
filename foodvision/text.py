"""Names that other people chose, as plain text: on a terminal, in a CSV cell, Markdown or JSON.

A class or a file can be named anything: an escape sequence, a spreadsheet formula, bytes that are
not UTF-8 (which Python keeps as lone surrogates).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence

_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that are escaped: control characters, surrogates, separators of lines."""

_BIDIRECTIONAL = {
    *("\u061c", "\u200e", "\u200f"),
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
}
"""They reverse the text that follows them."""

_SHOWN_NAMES = 10

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""First characters that a spreadsheet does not take for text, and the quote that marks text."""

# An underscore between two letters or digits is text; www. begins a link.
_MARKUP = re.compile(r"[\\`*\[\]<>&#|~!$:@]|(?<![^\W_])_|_(?![^\W_])|(?<=www)\.", re.IGNORECASE)


def printable(text: str) -> str:
    r"""The text with control characters, surrogates and the like escaped, such as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _HIDDEN or character in _BIDIRECTIONAL
        else character
        for character in text
    )


def to_json(content: object, indent: int | None = None) -> str:
    """JSON text that can be encoded: names that are not UTF-8 keep their surrogates escaped.

    Raises:
        ValueError: if a number is NaN or infinite, which JSON does not have.

    """
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()  # \udc80 is JSON's own escape


def to_markdown(text: str) -> str:
    """A name as text that Markdown and HTML leave alone, in a table's cell too."""
    return _MARKUP.sub(r"\\\g<0>", printable(text))


def to_cell(text: str) -> str:
    """A name as a CSV cell that no spreadsheet runs as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def from_cell(cell: str) -> str:
    """The name that `to_cell` wrote."""
    return cell.removeprefix("'")


def list_names(names: Sequence[str]) -> str:
    """The first ten names as printable text, and how many more there are."""
    more = len(names) - _SHOWN_NAMES
    shown = printable(", ".join(names[:_SHOWN_NAMES]))
    return f"{shown} and {more:,} more" if more > 0 else shown


def is_hub_id(name: str) -> bool:
    """Whether a name has the form OWNER/NAME of a repository on the Hub."""
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name))


def ask_which(names: Sequence[str]) -> str:
    """Names as a question, such as ``pizza, steak or sushi?``."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]])) + "?"
