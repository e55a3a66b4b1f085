from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from foodvision.errors import ModelError
from foodvision.models.vit import MLP, MSA, EncoderBlock, PatchEmbedding, ViT
from foodvision.paper import equations
from foodvision.paper.equations import equations_table, measure_equations


def test_all_eight_equations_are_our_code() -> None:
    rows = measure_equations()
    assert [row.number for row in rows] == list(range(1, 9))
    # Not 0 either: then the loops would not have been compared with anything.
    assert all(0 < row.max_abs_diff < 1e-12 for row in rows)
    text = equations_table(rows).to_text()
    assert re.search(r"^  6  A = softmax\(q kᵀ / √D_h\) +MSA.weights +\d\.\de-\d\d$", text, re.M)


def _wrong(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change our code so that this equation, and none before it, no longer holds."""
    if number == 1:
        patches = PatchEmbedding.patches
        monkeypatch.setattr(PatchEmbedding, "patches", lambda self, x: patches(self, x).flip(1))
    elif number == 2:
        monkeypatch.setattr(
            EncoderBlock,
            "forward",
            lambda self, z, m=None: self.mlp(self.norm2(2 * self.msa(self.norm1(z), m))) + z[:, :m],
        )
    elif number == 3:
        mlp = MLP.forward
        monkeypatch.setattr(MLP, "forward", lambda self, z: 1.001 * mlp(self, z))
    elif number == 4:
        features = ViT.features
        monkeypatch.setattr(ViT, "features", lambda self, x: features(self, x) + 1e-6)
    elif number == 5:
        qkv = MSA.qkv
        monkeypatch.setattr(MSA, "qkv", lambda self, z, m=None: qkv(self, z.flip(-1), m))
    elif number == 6:
        weights = MSA.weights
        monkeypatch.setattr(MSA, "weights", lambda self, z: weights(self, z).mT)
    elif number == 7:
        fused = torch.nn.functional.scaled_dot_product_attention
        monkeypatch.setattr(
            torch.nn.functional,
            "scaled_dot_product_attention",
            lambda q, k, v, dropout_p: fused(q, k, v.flip(1)),
        )
    else:
        forward = MSA.forward
        monkeypatch.setattr(MSA, "forward", lambda self, z, m=None: -forward(self, z, m))


@pytest.mark.parametrize("number", range(1, 9))
def test_a_difference_is_found_where_it_is(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # In one layer, what is computed before a wrong result is still right.
    monkeypatch.setattr(equations, "CONFIG", replace(equations.CONFIG, num_layers=1))
    _wrong(number, monkeypatch)
    with pytest.raises(ModelError, match=r"Eq\. \d: .* differs from .* by .*, which is more than"):
        measure_equations()
    monkeypatch.setattr(equations, "TOLERANCE", float("inf"))
    found = {row.number: row.max_abs_diff for row in measure_equations()}
    order = [1, 5, 6, 7, 8, 2, 3, 4]
    assert found[number] > 1e-9
    assert all(found[earlier] < 1e-12 for earlier in order[: order.index(number)])
