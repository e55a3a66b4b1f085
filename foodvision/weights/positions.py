"""Resizes position embeddings to another grid of patches, as each library does (section 3.2)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class Resampling(NamedTuple):
    """How a library interpolates: arguments of `torch.nn.functional.interpolate`.

    The paper only says "2D interpolation"; each library chose its own.
    """

    mode: Literal["bilinear", "bicubic"]
    align_corners: bool
    antialias: bool


ZOOM = Resampling("bilinear", align_corners=True, antialias=False)
"""The authors' code: `scipy.ndimage.zoom` of order 1."""

INTERPOLATE_EMBEDDINGS = Resampling("bicubic", align_corners=True, antialias=False)
"""torchvision's function of the same name."""

RESAMPLE_ABS_POS_EMBED = Resampling("bicubic", align_corners=False, antialias=True)
"""timm's function of the same name."""

INTERPOLATE_POS_ENCODING = Resampling("bicubic", align_corners=False, antialias=False)
"""transformers' method of the same name."""


def resize_positions(
    E_pos: Float[Tensor, "1 n D"],
    old: tuple[int, int],
    new: tuple[int, int],
    resampling: Resampling,
) -> Float[Tensor, "1 m D"]:
    """Interpolate E_pos from a grid of ``old`` rows and columns to ``new`` rows and columns.

    The class token's position, which comes before the grid's, is kept. The target is a size and not
    a scale factor, whose rounding loses a row at some sizes (facebookresearch/dino issue 8). Equal
    to the function that `resampling` is named after.
    """
    if old == new:
        return E_pos
    class_token, positions = E_pos.tensor_split([E_pos.shape[1] - old[0] * old[1]], dim=1)
    grid = positions.reshape(1, *old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=new, **resampling._asdict())
    return torch.cat([class_token, grid.flatten(2).transpose(1, 2)], dim=1)
