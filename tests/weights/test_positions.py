from __future__ import annotations

from collections import OrderedDict
from itertools import product

import pytest
import scipy.ndimage
import torch
import transformers
from timm.layers import resample_abs_pos_embed
from torchvision.models.vision_transformer import interpolate_embeddings

from foodvision.weights.positions import (
    INTERPOLATE_EMBEDDINGS,
    INTERPOLATE_POS_ENCODING,
    RESAMPLE_ABS_POS_EMBED,
    ZOOM,
    Resampling,
    resize_positions,
)

ALL = (ZOOM, INTERPOLATE_EMBEDDINGS, RESAMPLE_ABS_POS_EMBED, INTERPOLATE_POS_ENCODING)
D = 3


def positions(rows: int, columns: int, class_token: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 * rows + columns)
    return torch.randn(1, class_token + rows * columns, D, generator=generator)


@pytest.mark.parametrize("resampling", ALL)
def test_any_grid_is_resized_to_any_grid(resampling: Resampling) -> None:
    for rows, columns, new_rows, new_columns in product(range(1, 7), repeat=4):
        old, new = (rows, columns), (new_rows, new_columns)
        E_pos = positions(*old)
        resized = resize_positions(E_pos, old, new, resampling)
        assert resized.shape == (1, 1 + new_rows * new_columns, D)
        assert torch.equal(resized[:, 0], E_pos[:, 0])  # the class token's own
        flat = resize_positions(torch.ones_like(E_pos), old, new, resampling)
        torch.testing.assert_close(flat, torch.ones_like(flat))
        # Rows stay rows: resizing commutes with transposing the grid.
        turned = resize_positions(transposed(E_pos, old), old[::-1], new[::-1], resampling)
        torch.testing.assert_close(turned, transposed(resized, new))
        if old == new:
            assert torch.equal(resized, E_pos)


def transposed(E_pos: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    turned = E_pos[:, 1:].unflatten(1, grid).transpose(1, 2).flatten(1, 2)
    return torch.cat([E_pos[:, :1], turned], dim=1)


def test_without_a_class_token() -> None:
    with_token, without = positions(4, 5), positions(4, 5)[:, 1:]
    resized = resize_positions(with_token, (4, 5), (7, 3), RESAMPLE_ABS_POS_EMBED)
    torch.testing.assert_close(
        resize_positions(without, (4, 5), (7, 3), RESAMPLE_ABS_POS_EMBED), resized[:, 1:]
    )


def test_every_size_of_real_networks_has_every_row() -> None:
    """A scale factor gave 1 row less at some of these (facebookresearch/dino issue 8)."""
    for patch_size in (14, 16, 32):
        old = 224 // patch_size
        for new in range(1, 1024 // patch_size + 1):
            E_pos = torch.zeros(1, 1 + old * old, 1)
            resized = resize_positions(E_pos, (old, old), (new, 2), INTERPOLATE_POS_ENCODING)
            assert resized.shape[1] == 1 + new * 2


def test_timms() -> None:
    for rows, columns, new_rows, new_columns in product(range(1, 7), repeat=4):
        old, new = (rows, columns), (new_rows, new_columns)
        torch.testing.assert_close(
            resize_positions(positions(*old), old, new, RESAMPLE_ABS_POS_EMBED),
            resample_abs_pos_embed(positions(*old), list(new), list(old)),
        )


def test_torchvision_on_square_grids() -> None:
    for old, new in product(range(1, 17), repeat=2):
        state = OrderedDict({"encoder.pos_embedding": positions(old, old)})
        expected = interpolate_embeddings(8 * new, 8, state)["encoder.pos_embedding"]
        actual = resize_positions(
            positions(old, old), (old, old), (new, new), INTERPOLATE_EMBEDDINGS
        )
        torch.testing.assert_close(actual, expected)


def test_transformers_from_square_grids() -> None:
    for old in range(1, 9):
        config = transformers.ViTConfig(hidden_size=D, image_size=8 * old, patch_size=8)
        embeddings = transformers.models.vit.modeling_vit.ViTEmbeddings(config)
        embeddings.position_embeddings.data = positions(old, old)
        for new in product(range(1, 9), repeat=2):
            tokens = torch.empty(1, 1 + new[0] * new[1], D)
            with torch.no_grad():
                expected = embeddings.interpolate_pos_encoding(tokens, 8 * new[0], 8 * new[1])
            actual = resize_positions(
                positions(old, old), (old, old), new, INTERPOLATE_POS_ENCODING
            )
            torch.testing.assert_close(actual, expected)


def test_the_authors_resize_is_scipy_zoom() -> None:
    for rows, columns, new_rows, new_columns in product(range(1, 7), repeat=4):
        old, new = (rows, columns), (new_rows, new_columns)
        grid = positions(*old)[0, 1:].reshape(*old, D).numpy()
        zoomed = scipy.ndimage.zoom(grid, (new_rows / rows, new_columns / columns, 1), order=1)
        actual = resize_positions(positions(*old), old, new, ZOOM)
        torch.testing.assert_close(actual[0, 1:].reshape(*new, D), torch.from_numpy(zoomed))
