from __future__ import annotations

import subprocess
import sys

import pytest

from foodvision.models.config import ViTConfig


@pytest.mark.parametrize(
    "module",
    [
        "foodvision.models.config",
        "foodvision.weights.from_transformers",
        "foodvision.weights.repository",
    ],
)
def test_a_config_is_read_without_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"image_size": 30}, "image_size 30 is not a multiple of patch_size 8"),
        ({"num_heads": 5}, "hidden_size 12 is not a multiple of num_heads 5"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(settings: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ViTConfig(patch_size=8, hidden_size=12, **({"image_size": 32, "num_heads": 3} | settings))


@pytest.mark.parametrize("name", ["vit_x16", "resnet", "vit_b15"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"vit_|patch sizes"):
        ViTConfig.named(name)
