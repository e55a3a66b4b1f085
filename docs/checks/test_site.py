"""Every link of the built site leads somewhere, and the reference is complete."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import foodvision
from docs.builder.command_line import commands
from docs.checks.shell import ROOT

SITE = ROOT / "site"


class Page(HTMLParser):
    """Links and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and name in ("id", "name"):
                self.anchors.add(value)


@cache
def read_page(path: Path) -> Page:
    return Page(path)


def test_every_link_leads_somewhere() -> None:
    pages = sorted(SITE.rglob("*.html"))
    assert len(pages) > 20
    broken = defaultdict(set)
    for page in pages:
        for link in read_page(page).links:
            if not leads_somewhere(page, link):
                broken[link].add(str(page.relative_to(SITE)))
    assert not broken


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether file and anchor exist; the address of another site need only be well-formed."""
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return url.scheme in ("https", "http", "mailto", "data") and "." in (url.netloc or "x.")
    target = (page.parent / unquote(url.path)).resolve() if url.path else page
    if not target.is_relative_to(SITE) or not target.is_file():
        return False
    return not url.fragment or unquote(url.fragment) in read_page(target).anchors


def test_every_page_is_reached_from_the_first() -> None:
    reached, todo = set(), [SITE / "index.html"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in read_page(page).links:
            url = urlsplit(link)
            if not url.scheme and url.path.endswith(".html"):
                todo.append((page.parent / unquote(url.path)).resolve())
    assert set(SITE.rglob("*.html")) <= reached


def test_the_reference_has_every_public_name_and_command() -> None:
    python, settings = (
        read_page(SITE / f"reference/{name}.html") for name in ("python", "settings")
    )
    names = {f"foodvision.{name}" for name in foodvision.__all__}
    assert names <= python.anchors | settings.anchors
    lines = read_page(SITE / "reference/command_line.html")
    assert {f"foodvision-{'-'.join(words)}" for words in commands()} <= lines.anchors


def test_the_site_asks_no_other_server_for_anything() -> None:
    for page in SITE.rglob("*.html"):
        for line in page.read_text().splitlines():
            assert 'src="http' not in line, page
            assert 'rel="stylesheet" href="http' not in line, page
