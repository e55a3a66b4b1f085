from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from foodvision.data import food101
from tests.cli.conftest import Result
from tests.conftest import CLASSES
from tests.files.web import Web


def test_data_get_fetches_and_without_a_network_says_where_to_put_the_file(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for split in ("train", "test"):
            for label in CLASSES:
                file.writestr(f"{split}/{label}/1.jpg", b"x")
                file.writestr(f"{split}/{label}/2.jpg", b"y")
    web = Web(buffer.getvalue())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(food101.RELEASES, "mini20", food101.Release(web.file(), 10**6, 99))
    done = run("data", "get", "mini20")
    assert (done.code, done.out.strip(), done.err) == (0, str(Path("data/mini20")), "")
    assert len(list(Path("data/mini20").glob("*/*/*.jpg"))) == 12
    web.stop()
    failed = run("data", "get", "mini20", "--out", "other/mini")
    assert (failed.code, failed.out, len(failed.err.splitlines())) == (1, "", 1)
    for part in (web.url, "cannot be reached", web.file().digest, "at other/mini.zip"):
        assert part in failed.err


def test_split_command(run: Callable[..., Result], patterns: Path, tmp_path: Path) -> None:
    root = shutil.copytree(patterns / "train", tmp_path / "d")
    result = run("data", "split", root, "--test", "0.2")
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == str(root / "split.csv")
    assert "test" in result.out
    assert result.err.splitlines() == [
        f"{root}: 3 classes, no splits, 90 images: dots, stripes, waves"
    ]
    content = (root / "split.csv").read_bytes()
    again = run("data", "split", root, "--seed", "1")
    assert (again.code, again.out) == (1, "")
    assert "split.csv: exists already; --force replaces it" in again.err.splitlines()[-1]
    assert (root / "split.csv").read_bytes() == content
    shutil.copy(root / "dots" / "000.png", root / "waves" / "added.png")
    extended = run("data", "split", root, "--seed", "1")
    rows = content.decode().splitlines()
    assert (extended.code, set(rows) < set((root / "split.csv").read_text().splitlines())) == (0, 1)
    (root / "waves" / "added.png").unlink()
    (root / "split.csv.bak").replace(root / "split.csv")
    forced = run("data", "split", root, "--seed", "1", "--force", "--copies-only")
    assert (forced.code, (root / "split.csv.bak").read_bytes()) == (0, content)
    impossible = run("data", "split", root, "--test", "0.9", "--force")
    assert impossible.code == 1
    assert "shares must be above 0, and their sum below 1" in impossible.err


def test_check_command(run: Callable[..., Result], patterns: Path, tmp_path: Path) -> None:
    root = shutil.copytree(patterns, tmp_path / "d")
    shutil.copy(root / "train/dots/000.png", root / "test/dots/leak.png")
    (root / "train/dots/bad.png").write_text("text")
    page, fixes = tmp_path / "page.html", tmp_path / "fixes.csv"
    result = run("data", "check", root, "--json", "--html", page, "--fix-list", fixes)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["n"], found["counts"]["unreadable"]) == (122, 1)
    assert found["leaks"]["test"] >= 1
    assert page.read_text().startswith("<!doctype html>")
    assert "train/dots/bad.png" in fixes.read_text()
    text = run("data", "check", root)
    assert (text.code, text.out.splitlines()[1]) == (0, "errors")
