"""`foodvision caption` with a tiny BLIP: printed, in files, resumed, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas
import pytest

from foodvision.captioning import BASE, self_check
from foodvision.captioning.caption import Caption
from foodvision.captioning.captioner import Captioner
from tests.cli.conftest import Result, run_without_torch
from tests.conftest import draw_pattern


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(7):
        draw_pattern("dots", i).save(folder / f"{i}.png")
    (folder / "3.png").write_text("I am a text.")
    return folder


def test_captions_are_printed_and_a_bad_image_is_a_row(
    run: Callable[..., Result], blip: Path, photos: Path
) -> None:
    plain = run("caption", photos, "--model", blip, "--prefix", "a photo of", "--beams", 1)
    assert plain.code == 0
    lines = plain.out.splitlines()
    assert len(lines) == 6
    assert all(re.match(rf"{photos}/\d\.png: a photo of", line) for line in lines)
    assert f"{photos}/3.png: not an image" in plain.err
    assert "1 of 7 images cannot be opened" in plain.err
    done = run("caption", photos, "nosuch", "--model", blip, "--captions", 2, "--json")
    rows = json.loads(done.out)
    assert [set(row) for row in rows] == [{"path", "caption", "captions", "error"}] * 8
    assert [len(row["captions"]) for row in rows] == [2, 2, 2, 0, 2, 2, 2, 0]
    assert rows[7] == {
        "path": "nosuch", "caption": None, "captions": [], "error": "no such file or folder",
    }  # fmt: skip


def test_tables_and_text_files_hold_the_same(
    run: Callable[..., Result], blip: Path, photos: Path, tmp_path: Path
) -> None:
    options = ("--model", blip, "--captions", 2, "--text-files", "--max-length", 6)
    tables = []
    for name, read in {
        "a.csv": lambda path: pandas.read_csv(path, keep_default_na=False),
        "a.jsonl": lambda path: pandas.read_json(path, lines=True),
        "a": pandas.read_parquet,
    }.items():
        done = run("caption", photos, *options, "--out", tmp_path / name)
        assert (done.code, done.out) == (0, "")
        assert "text files: 6\n" in done.err
        tables.append(read(tmp_path / name)[["path", "caption", "caption_2", "error"]].fillna(""))
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    for path, first, second, error in tables[0].itertuples(index=False):
        text = Path(path).with_suffix(".txt")
        assert text.exists() is (error == "")
        assert error or text.read_text() == f"{first}\n{second}\n"


caption_many = Captioner.caption_many


def interrupted(self: Captioner, *arguments: Any) -> Iterator[Caption]:
    yield from islice(caption_many(self, *arguments), 4)
    raise KeyboardInterrupt


def test_captions_continue_after_an_interruption_to_the_same_bytes(
    run: Callable[..., Result],
    blip: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = ("caption", photos, "nosuch", "--model", blip, "--batch-size", 3, "--text-files")
    whole, out = tmp_path / "whole.csv", tmp_path / "a.csv"
    assert run(*command, "--out", whole).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Captioner, "caption_many", interrupted)
        done = run(*command, "--out", out)
    assert (done.code, "has 4 rows; continue with the same command and --resume" in done.err) == (
        130,
        True,
    )
    assert len(Path(f"{out}.partial").read_text().splitlines()) == 5
    for changed, what in {"--prefix=the": "prefix", "--beams=2": "beams"}.items():
        refused = run(*command, "--out", out, "--resume", changed)
        assert (refused.code, f"was begun with another {what};" in refused.err) == (1, True)
    resumed = run(*command, "--out", out, "--resume")
    assert (resumed.code, "2 of 8 images cannot be opened" in resumed.err) == (0, True)
    assert out.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "whole.csv", "a.csv"}


def test_self_check_exits_with_1_when_a_caption_differs(
    run: Callable[..., Result], blip: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("caption", "--self-check", "--model", blip)
    differs = run(*command, photos / "0.png")
    assert (differs.code, "2 of 2 captions differ" in differs.err) == (1, True)
    assert "the model card has 'a woman sitting on the beach with her dog'" in differs.out
    known = {
        row["prefix"]: row["caption"]
        for row in json.loads(run(*command, photos / "0.png", "--json").out)
    }
    monkeypatch.setattr(self_check, "CAPTIONS", known)
    assert run(*command, photos / "0.png").code == 0
    monkeypatch.setattr(self_check, "DEMO", "http://127.0.0.1:9/demo.jpg")
    missing = run(*command)
    assert (missing.code, "download this image" in missing.err) == (1, True)


def test_json_is_printed_beside_a_table(
    run: Callable[..., Result], blip: Path, photos: Path, tmp_path: Path
) -> None:
    done = run("caption", photos, "--model", blip, "--out", tmp_path / "a.csv", "--json")
    rows = json.loads(done.out)
    assert len(rows) == len((tmp_path / "a.csv").read_text().splitlines()) - 1 > 0


def test_wrong_usage_is_2_and_names_what_is_wrong(
    run: Callable[..., Result], blip: Path, photos: Path
) -> None:
    for arguments, what in {
        (): "name the images, or give --self-check",
        (photos, "--resume"): "give the --out of the interrupted run",
        (photos, "--prefix", "x" * 201): "prefix must be a text",
        (photos, "--beams", 0): "--beams",
        (photos, photos, "--self-check"): "takes one image",
    }.items():
        done = run("caption", "--model", blip, *arguments)
        assert done.code == 2
        assert what in " ".join(done.err.replace("│", "").split()), done.err


def test_what_is_wrong_is_said_before_torch_is_imported(blip: Path, tmp_path: Path) -> None:
    expected = {
        ("caption", "nosuch.png", "--model", str(blip)): "no such file",
        ("caption", str(blip / "config.json")): f"{BASE}: no such folder, and it cannot be down",
        ("caption-app",): f"{BASE}: no such folder, and it cannot be down",
        ("caption-app", str(blip), "--examples", "nosuch"): "--examples nosuch: no such folder",
        ("caption-app", str(blip), "--examples", str(blip)): "no images in this folder",
    }
    for what, error in zip(expected.values(), run_without_torch(*expected), strict=True):
        assert error.startswith("foodvision: "), error
        assert what in error
        assert "\n" not in error
