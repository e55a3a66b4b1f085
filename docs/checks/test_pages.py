"""Every block of every page runs, from the top of the page to its end, in a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.checks.blocks import KINDS, Block, read_blocks
from docs.checks.shell import ROOT, Shell, shell
from foodvision.deploy import deploy as stages

PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name not in ("results.md",))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs"))


@pytest.mark.parametrize("page", [p for p in PAGES if read_blocks(p)], ids=name_of)
def test_a_page_runs(
    page: Path,
    at_work: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "OWNER/" in page.read_text():
        request.getfixturevalue("hub")
        # No Space really runs there; what deploy writes is started and asked all the same.
        monkeypatch.setattr(stages, "call_app", lambda address, what: f"{what} answers")
    names: dict[str, object] = {"__name__": "__main__"}
    with shell(capfd, monkeypatch) as run:
        for block in read_blocks(page):
            where = f"{name_of(page)}:{block.line}"
            run_block(block, run, names, where)


def run_block(block: Block, run: Shell, names: dict[str, object], where: str) -> None:
    for command, printed in block.commands():
        code, output = run.run(command)
        fails = any(line.startswith("foodvision: ") for line in printed)
        assert (code != 0) == fails, f"{where}: {command}: exit {code}\n{output}"
        for line in printed:  # in any order: progress and results go to two streams
            found = re.search(pattern(line), output, flags=re.MULTILINE)
            assert found, f"{where}: {command}: does not print\n{line}\nbut\n{output}"
    if block.kind == "python" and block.text.startswith("# service.py"):
        Path("service.py").write_text(block.text)
    elif block.kind == "python":
        exec(compile(run.replace(block.text), where, "exec"), names)
    elif block.kind == "toml":
        name, _, text = block.text.removeprefix("# ").partition("\n")
        Path(name).write_text(run.replace(text))


def pattern(line: str) -> str:
    """Of a whole line, whose … is anything."""
    return r"^\s*" + re.escape(line.strip()).replace("…", ".*") + r"\s*$"


def test_each_block_has_a_kind_that_is_run_or_says_that_it_is_not() -> None:
    for page in PAGES:
        for block in read_blocks(page):
            where = f"{name_of(page)}:{block.line}"
            assert block.kind in KINDS, where
            commands = re.search(r"^(\$ |foodvision )", block.text, re.MULTILINE)
            if block.kind == "text" and commands:
                assert "not run" in block.above.lower(), where
