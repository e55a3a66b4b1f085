from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from foodvision.paper import table1
from tests.cli.conftest import Result
from tests.conftest import draw_pattern


def test_paper_parity(run: Callable[..., Result]) -> None:
    done = run("paper", "parity", "--network", "vit_ti16", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [(row["family"], row["model"]) for row in rows] == [
        (family, f"vit_ti16 at {size} px")
        for family in ("torchvision", "timm", "transformers", "google")
        for size in (224, 384)
    ]
    for row in rows:
        assert 0 < row["max_abs_diff"] < 1e-5


def test_paper_table1(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table1, "PUBLISHED", {"vit_b32": table1.PUBLISHED["vit_b32"]})
    done = run("paper", "table1", "--json")
    assert done.code == 0, done.err
    (size,) = json.loads(done.out)
    assert (size["model"], size["parameters"]) == ("vit_b32", 88_224_232)
    assert size["multiply_adds"] == pytest.approx(size["published_multiply_adds"], rel=0.01)
    assert run("paper", "table1").out.startswith("Table 1\nmodel ")


def test_paper_equations(run: Callable[..., Result]) -> None:
    done = run("paper", "equations", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [row["number"] for row in rows] == [*range(1, 9)]
    assert rows[0]["symbol"] == "PatchEmbedding.forward"
    assert run("paper", "equations").out.startswith("Equations 1 to 8\n")


def test_paper_figures(run: Callable[..., Result], model: Path, tmp_path: Path) -> None:
    draw_pattern("dots", 0).save(tmp_path / "photo.png")
    arguments = ("--model", model, "--out", tmp_path / "out", tmp_path / "photo.png")
    done = run("paper", "figures", *arguments, "--json")
    assert done.code == 0, done.err
    drawn = json.loads(done.out)
    assert len(drawn["files"]) == 4
    assert all(Path(file).stat().st_size for file in drawn["files"])
    assert len(drawn["attention_distance"]) == 2
    assert "Figure 7 right: mean attention distance" in run("paper", "figures", *arguments).out
    done = run("paper", "figures", "--model", "nosuch", "--out", tmp_path / "out")
    assert (done.code, "nosuch: no such file or folder" in done.err) == (1, True)
