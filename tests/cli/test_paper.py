from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result


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


def test_paper_course(run: Callable[..., Result], patterns: Path, tmp_path: Path) -> None:
    """Sizes need no food; the tables are on stdout, or one JSON document."""
    command = ["paper", "course", patterns, "--experiments", "sizes", "--out", tmp_path / "out"]
    done = run(*command, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)["figures"]
    assert {"ViT-B/16, 3 classes: parameters"} <= {figure["name"] for figure in figures}
    done = run(*command)
    assert re.search(r"^ViT-B/16, 3 classes: parameters +85,800,963 +85,800,963$", done.out, re.M)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"course.json", "course.md"}


def test_paper_course_errors(run: Callable[..., Result], patterns: Path, tmp_path: Path) -> None:
    done = run("paper", "course", patterns, "--experiments", "size")
    assert (done.code, "one of scratch_course, scratch, frozen_10" in done.err) == (2, True)
    done = run("paper", "course", patterns, "--experiments=frozen_10", "--out", tmp_path / "out")
    assert (done.code, done.out) == (1, "")
    assert "nothing can be run" in done.err
