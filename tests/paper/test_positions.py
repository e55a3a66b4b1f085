from __future__ import annotations

from pathlib import Path

import pytest

from foodvision.data import load_dataset
from foodvision.errors import FoodvisionError, RecipeError
from foodvision.paper import positions
from foodvision.paper.positions import Outcome, compare_positions, positions_table

SMALL = {"image_size": 16, "num_layers": 1, "epochs": 1, "batch_size": 32}


def test_variants_are_trained_alike_and_the_test_split_stays_closed(patterns: Path) -> None:
    dataset = load_dataset(patterns)
    dataset.splits["test"].store = None  # type: ignore[assignment] # opening it would fail
    first, again = (compare_positions(dataset, ["none", "2d"], 2, SMALL, "cpu") for _ in range(2))
    assert [row.variant for row in first] == ["none", "2d"]
    for row, same in zip(first, again, strict=True):
        assert row.log_losses == same.log_losses  # a function of the seed alone
        assert len(set(row.log_losses)) == 2
        assert row.n == 14
        assert row.parameters > 200_000
    D = 192  # one table less a position for each of the four patches, and the class token's
    assert first[1].parameters - first[0].parameters == (2 + 2) * D // 2 + D
    assert first[0].log_losses != first[1].log_losses


def test_what_is_refused(patterns: Path) -> None:
    with pytest.raises(FoodvisionError, match="no variant '3d': there are none, 1d, 2d"):
        compare_positions(patterns, ["3d"])
    with pytest.raises(RecipeError, match="epoch"):
        compare_positions(patterns, settings={"epoch": 3})
    with pytest.raises(RecipeError, match="comes with the weights"):
        compare_positions(patterns, settings={"method": "finetune", "weights": "a"})
    with pytest.raises(RecipeError, match="hybrid: a hybrid halves the image: no patch_size 12"):
        compare_positions(
            patterns, ["hybrid"], settings=SMALL | {"patch_size": 12, "image_size": 24}
        )


def test_the_table_has_mean_and_range_of_the_seeds() -> None:
    row = Outcome("1d", 1000, 50, [0.5, 0.7], [0.8, 0.9], 0.642, 61.0)
    text = positions_table([row]).to_text().splitlines()
    assert (
        text[0] == "Table 8 in miniature: 50 validation images, 2 seeds, mean (lowest to highest)"
    )
    assert "0.600 (0.500 to 0.700)" in text[2]
    assert "85.0% (80.0% to 90.0%)" in text[2]
    assert "64.2%" in text[2]
    one = Outcome("sines", 1000, 50, [0.5], [0.8], None, 61.0)
    cells = positions_table([one]).to_text().splitlines()[2].split("  ")
    assert [cell.strip() for cell in cells if cell.strip()][2:5] == ["0.500", "80.0%", "-"]


def test_the_default_variants_exist() -> None:
    assert set(positions.TABLE_8) <= set(positions.VARIANTS)
