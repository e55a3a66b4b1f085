from __future__ import annotations

import pytest

from foodvision.paper.table1 import Size, measure_table1, table1
from tests.models.test_vit import PARAMETERS

# torchvision's documentation, and one percent as the tolerance.
GIGA = {"vit_b16": 17.564, "vit_b32": 4.409, "vit_l16": 61.555, "vit_l32": 15.378}
GIGA["vit_h14"] = 167.295


@pytest.fixture(scope="module")
def sizes() -> list[Size]:
    return measure_table1()


def test_parameters_and_multiply_adds_are_the_published_ones(sizes: list[Size]) -> None:
    assert [size.model for size in sizes] == list(GIGA)
    for size in sizes:
        assert size.parameters == PARAMETERS[size.model]
        assert size.parameters == pytest.approx(size.paper_parameters, rel=0.03)
        assert size.published_multiply_adds == pytest.approx(GIGA[size.model] * 1e9)
        assert size.multiply_adds == pytest.approx(size.published_multiply_adds, rel=0.001)


def test_the_last_layer_computes_less_than_the_paper_writes(sizes: list[Size]) -> None:
    """Of B/16's last layer: queries, attention, U_msa and MLP for one token instead of 197."""
    (size,) = [size for size in sizes if size.model == "vit_b16"]
    n, D = 197, 768
    saved = (n - 1) * (2 * D * D + 2 * n * D + 8 * D * D)
    assert size.multiply_adds - size.computed_multiply_adds == saved


def test_the_table_says_how_far_apart_they_are(sizes: list[Size]) -> None:
    text = table1(sizes).to_text()
    (row,) = [line.split() for line in text.splitlines() if line.startswith("vit_b16")]
    assert row == [
        *("vit_b16", "86,567,656", "86", "M", "+0.7%"),
        *("17.564", "G", "17.564", "G", "0.00%", "16.348", "G"),
    ]
