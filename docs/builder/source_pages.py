"""Links to files of the repository open a page of the site that shows the file.

Pages link to source as they do on a code host, `[vit.py](../foodvision/models/vit.py)`, and MyST
makes a download of it. Here each becomes a link to a page with the highlighted file. The tables of
paper_to_code.md name a file and a symbol in it, which become links to the symbol's line.
"""

from __future__ import annotations

import ast
import html
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
SHOWN = {".py", ".mjs", ".toml", ".md", ".cff", ".txt", ""}
"""Suffixes of files that have a page; a notebook stays a download."""


def link_downloads(app: Sphinx, document: nodes.document) -> None:
    """Replace downloads of source files by links to their pages."""
    folder = Path(app.env.docname).parent
    for download in list(document.findall(addnodes.download_reference)):
        path = Path(app.srcdir, folder, download["reftarget"]).resolve()
        if path.suffix in SHOWN and path.is_relative_to(ROOT):
            link = _link(app, path.relative_to(ROOT))
            link += download.children
            download.replace_self(link)


def link_symbols(app: Sphinx, document: nodes.document) -> None:
    """`foodvision/models/vit.py` `MLP` links to the class MLP in that file."""
    path: Path | None = None
    for code in list(document.findall(nodes.literal)):
        text = code.astext()
        line = None
        if text.startswith("foodvision/") and (ROOT / text).is_file():
            path = Path(text)
        elif not path or not (line := find_symbol(path, text)):
            continue
        link = _link(app, path, line)
        code.replace_self(link)
        link += code


def find_symbol(path: Path, name: str) -> int | None:
    """The line on which a class, function, method, field or constant of a file begins."""
    body: list[ast.stmt] = ast.parse((ROOT / path).read_text()).body if path.suffix == ".py" else []
    line = None
    for part in name.split("."):
        for statement in body:
            if part in _names(statement):
                line, body = statement.lineno, getattr(statement, "body", [])
                break
        else:
            return None
    return line


def _names(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        return {statement.name}
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _link(app: Sphinx, path: Path, line: int | None = None) -> nodes.reference:
    app.env.metadata[app.env.docname].setdefault("sources", set()).add(path)  # type: ignore[arg-type]
    up = "../" * app.env.docname.count("/")
    anchor = f"#L-{line}" if line else ""
    return nodes.reference("", "", refuri=f"{up}source/{path}.html{anchor}", internal=True)


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """The page of each file that is linked: name, what the template shows, template."""
    found: set[Path] = set()
    for metadata in app.env.metadata.values():
        found |= metadata.get("sources", set())
    for path in sorted(found):
        full = ROOT / path
        text = full.read_text() if full.is_file() else "\n".join(sorted(_listed(full)))
        language = {".py": "python", ".mjs": "javascript", ".toml": "toml"}.get(full.suffix, "text")
        block = app.builder.highlighter.highlight_block(  # type: ignore[attr-defined]
            text, language, linenos="inline", anchorlinenos=True, lineanchors="L"
        )
        body = f"<h1>{html.escape(str(path))}</h1>{block}"
        yield f"source/{path}", {"title": str(path), "body": body}, "page.html"


def _listed(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if not path.name.startswith((".", "__pycache__")):
            yield path.name + "/" * path.is_dir()


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-read", link_downloads, priority=100)  # before downloads are collected
    app.connect("doctree-read", link_symbols)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True}
