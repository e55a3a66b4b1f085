from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from foodvision.errors import MissingExtraError, ModelError
from foodvision.paper import parity
from foodvision.paper.parity import measure_parity


def test_a_difference_is_an_error_and_the_row_is_shown_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    rows = measure_parity(["vit_ti16"])
    row = next(rows)
    assert (row.family, row.model) == ("torchvision", "vit_ti16 at 224 px")
    with pytest.raises(ModelError, match="torchvision's vit_ti16 at 224 px: logits differ by"):
        next(rows)


def test_unknown_network() -> None:
    with pytest.raises(ModelError, match="no network 'resnet': there are vit_ti"):
        next(measure_parity(["vit_ti16", "resnet"]))
    with pytest.raises(
        ModelError, match="no network 'dinov2_g14': there are dinov2_s14, dinov2_b14"
    ):
        next(measure_parity(["dinov2_g14"]))


def test_dinov2(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two layers: transformers' networks are built as asked for, timm's from its name."""
    config = replace(parity._config("dinov2_s14"), num_layers=2)
    monkeypatch.setattr(parity, "_config", lambda name: config)
    rows = [row for row, _ in zip(measure_parity(["dinov2_s14"]), range(2), strict=False)]
    assert [(row.family, row.model) for row in rows] == [
        ("transformers", f"dinov2_s14 at {size} px") for size in (224, 518)
    ]
    assert all(0 < row.max_abs_diff < 1e-5 for row in rows)


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_without_the_reference_libraries(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"paper parity needs .*'foodvision\[dev\]'"):
        next(measure_parity())
