"""Resizes the patch projection E to patches of another size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def resize_projection(
    E: Float[Tensor, "D CPP"], num_channels: int, old: int, new: int
) -> Float[Tensor, "D CQQ"]:
    """Resize E from patches of ``old`` to patches of ``new`` pixels a side.

    Patches that were enlarged as the projection is give the tokens that they gave before; of the
    possible projections that do, it is the smallest (FlexiViT, Beyer et al., arXiv 2212.08013,
    section 3.4). For smaller patches it is the nearest in least squares. The paper has no such
    thing: it changes the resolution alone (section 3.2).
    """
    if old == new:
        return E
    identity = torch.eye(old, dtype=torch.float64)[None, None]  # each column: one pixel of a line
    line = F.interpolate(identity, (new, old), mode="bicubic", antialias=True)[0, 0]
    inverse = torch.linalg.pinv(line).T  # rows and columns are resized apart, and so inverted
    kernel = E.reshape(len(E), num_channels, old, old).double()
    return (inverse @ kernel @ inverse.T).flatten(1).to(E.dtype)
