"""Which networks are divided among processes; `test_processes` trains them so."""

from __future__ import annotations

import pytest

from foodvision.models.config import ViTConfig
from foodvision.models.network import build_network
from foodvision.training.settings import load_recipe
from foodvision.training.sharding import is_sharded


@pytest.mark.parametrize(("name", "large"), [("vit_l32", False), ("vit_h14", True)])
def test_networks_larger_than_l_are_sharded(name: str, large: bool) -> None:
    network = build_network(ViTConfig.named(name, num_classes=1000), empty=True)
    assert is_sharded(network, load_recipe("scratch"), ranks=2) == large
    for asked in (False, True):
        recipe = load_recipe("scratch", {"sharded": asked})
        assert is_sharded(network, recipe, ranks=2) == asked
        assert not is_sharded(network, recipe, ranks=1)
