from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from timm.layers import resample_patch_embed

from foodvision.weights.projection import resize_projection

C, D = 3, 5


def projection(size: int) -> torch.Tensor:
    return torch.randn(D, C * size**2, generator=torch.Generator().manual_seed(size))


def test_timms() -> None:
    for old, new in product(range(1, 17, 3), repeat=2):
        kernel = projection(old).unflatten(1, (C, old, old))
        expected = resample_patch_embed(kernel, [new, new]).flatten(1)
        actual = resize_projection(projection(old), C, old, new)
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)
        if old == new:
            assert torch.equal(actual, projection(old))


def test_an_enlarged_patch_gives_the_token_that_it_gave() -> None:
    for old, new in ((4, 6), (8, 12), (8, 16)):
        patches = torch.rand(7, C, old, old, generator=torch.Generator().manual_seed(0))
        enlarged = F.interpolate(patches, (new, new), mode="bicubic", antialias=True)
        tokens = enlarged.flatten(1) @ resize_projection(projection(old), C, old, new).T
        torch.testing.assert_close(tokens, patches.flatten(1) @ projection(old).T)
