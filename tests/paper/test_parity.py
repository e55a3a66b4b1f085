from __future__ import annotations

import sys

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


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_without_the_reference_libraries(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"paper parity needs .*'foodvision\[dev\]'"):
        next(measure_parity())
