from __future__ import annotations

import json
from collections.abc import Callable

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
