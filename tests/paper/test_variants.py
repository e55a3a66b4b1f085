from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch

from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT
from foodvision.paper.variants import (
    VARIANTS,
    Hybrid,
    NoPositions,
    Positions1D,
    Positions2D,
    RelativeMSA,
    RelativePositions,
)
from foodvision.training.optim import OTHERS, parameter_groups
from foodvision.training.recipe import Recipe

CONFIG = ViTConfig(
    image_size=(16, 24),
    patch_size=8,
    num_layers=2,
    hidden_size=12,
    mlp_size=16,
    num_heads=3,
    num_classes=4,
)
N = 6


def randomised(vit: ViT) -> ViT:
    torch.manual_seed(1)
    for weight in vit.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.4)
    return vit.eval()


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def exchanged(x: torch.Tensor) -> torch.Tensor:
    """The same patches in another order: the two halves of 8 rows change places."""
    return torch.cat([x[:, :, 8:], x[:, :, :8]], dim=2)


def test_without_positions_the_order_of_the_patches_is_unknown() -> None:
    x = images()
    bag = randomised(NoPositions(CONFIG))
    torch.testing.assert_close(bag(exchanged(x)), bag(x))
    assert not bag.embedding.E_pos.requires_grad
    for variant in (Positions1D, Positions2D, RelativePositions):
        vit = randomised(variant(CONFIG))
        assert (vit(exchanged(x)) - vit(x)).abs().max() > 1e-3, variant


def test_one_dimension_is_the_papers_initialisation() -> None:
    torch.manual_seed(0)
    vit = Positions1D(replace(CONFIG, hidden_size=120))
    assert float(vit.embedding.E_pos.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_two_dimensions_are_two_tables() -> None:
    torch.manual_seed(0)
    vit = Positions2D(CONFIG)
    E_pos = vit.embedding.E_pos[0, 1:].reshape(2, 3, 12)
    assert float(E_pos.detach().std()) == pytest.approx(0.02, rel=0.5)
    # Columns share their second half, rows their first.
    assert E_pos[0, 1, :6].equal(E_pos[1, 1, :6])
    assert E_pos[1, 0, 6:].equal(E_pos[1, 2, 6:])
    assert not E_pos[0, 0, :6].equal(E_pos[0, 1, :6])
    own = sum(weight.numel() for weight in ViT(CONFIG).parameters())
    found = sum(weight.numel() for weight in vit.parameters())
    assert found == own - N * 12 + (3 + 2) * 6
    copied = copy.deepcopy(vit).eval()
    torch.testing.assert_close(copied(images()), vit.eval()(images()))
    vit(images()).sum().backward()
    tables = dict(vit.named_parameters())
    assert all(tables[name].grad is not None for name in tables if "E_pos" in name)


def test_relative_attention_token_by_token() -> None:
    msa = RelativeMSA(CONFIG, N + 1).double().eval()
    z = torch.randn(1, N + 1, 12, dtype=torch.float64)
    q, k, v = (part[0] for part in msa.qkv(z))
    n, D_h = N + 1, 4
    heads = torch.zeros(3, n, D_h, dtype=torch.float64)
    A = torch.zeros(3, n, n, dtype=torch.float64)
    for head in range(3):
        for i in range(n):
            scores = [
                q[head, i] @ (k[head, j] + msa.r_E_pos[i - j + n - 1]) / math.sqrt(D_h)
                for j in range(n)
            ]
            A[head, i] = torch.stack(scores).softmax(dim=0)
            for j in range(n):
                heads[head, i] += A[head, i, j] * v[head, j]
    expected = msa.U_msa(heads.transpose(0, 1).flatten(1))[None]
    torch.testing.assert_close(msa(z), expected)
    torch.testing.assert_close(msa.weights(z)[0], A)
    torch.testing.assert_close(msa(z, 1), expected[:, :1])


def test_relative_attention_of_zeros_is_attention() -> None:
    relative = RelativePositions(CONFIG)
    vit = NoPositions(CONFIG)
    with torch.no_grad():
        for weight in relative.parameters():
            weight.normal_(std=0.4)
        relative.embedding.E_pos.zero_()
        for block in relative.blocks:
            block.msa.r_E_pos.zero_()
    state = {name: w for name, w in relative.state_dict().items() if "r_E_pos" not in name}
    vit.load_state_dict(state)
    torch.testing.assert_close(relative.eval()(images()), vit.eval()(images()))


def test_a_hybrid_has_as_many_tokens_and_sees_beyond_a_patch() -> None:
    vit = randomised(Hybrid(CONFIG))
    assert vit.attention(images()).shape == (2, 2, 3, N + 1, N + 1)
    x = images(1).requires_grad_()
    first = vit.embedding(x)[0, 1]
    (gradient,) = torch.autograd.grad(first.square().sum(), x)
    assert gradient[0, :, :8, 8:].abs().max() > 0  # a pixel of another patch
    with pytest.raises(ValueError, match="no patch_size 12"):
        Hybrid(replace(CONFIG, patch_size=12, image_size=24))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains(name: str) -> None:
    vit = VARIANTS[name].build(CONFIG)
    recipe = Recipe(method="scratch")
    grouped = [p for group in parameter_groups(vit, recipe) for p in group["params"]]
    assert len(grouped) == sum(weight.requires_grad for weight in vit.parameters())
    for group in parameter_groups(vit, recipe):
        assert (group["weight_decay"] == 0) == (group["kind"] == OTHERS)
    optimizer = torch.optim.AdamW(grouped, lr=1e-2)
    x, labels = images(4), torch.arange(4)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(vit(x), labels)
        loss.backward()
        optimizer.step()
    assert loss < 0.3
