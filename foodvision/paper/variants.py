"""The networks that the paper compares with its own, as subclasses of `ViT`.

Position embeddings of appendix D.4, and the hybrid of section 3.1. Each changes one part of `ViT`
and takes the same config; average pooling (appendix D.3) is ``pooling="average"`` of that config.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torchvision.models.resnet import BasicBlock

from foodvision.models.config import ViTConfig
from foodvision.models.vit import MSA, PatchEmbedding, ViT

DEVIATION = 0.02
"""Of the noise that position embeddings begin as, in the authors' code."""


class NoPositions(ViT):
    """No position embedding: the patches are a bag, whose order the network cannot see."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        nn.init.zeros_(self.embedding.E_pos)
        self.embedding.E_pos.requires_grad_(False)


class Positions1D(ViT):
    """The paper's own: one embedding for each place of the sequence, which begins as noise.

    `ViT` differs only in how E_pos begins, as sines of row and column.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        nn.init.normal_(self.embedding.E_pos, std=DEVIATION)


class Positions2D(ViT):
    """One embedding of width D/2 for each column and one for each row, set side by side."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        parametrize.register_parametrization(
            self.embedding, "E_pos", _FromAxes(*config.grid, config.hidden_size)
        )


class _FromAxes(nn.Module):
    """E_pos as a function of three smaller tables, which are what is trained."""

    def __init__(self, rows: int, columns: int, D: int) -> None:
        super().__init__()
        self.rows, self.columns, self.D = rows, columns, D

    def forward(
        self,
        X: Float[Tensor, "columns half"],
        Y: Float[Tensor, "rows rest"],
        first: Float[Tensor, "tokens D"],
    ) -> Float[Tensor, "1 n D"]:
        """The class token's position (if there is one), then the patches', row by row."""
        X = X.expand(self.rows, -1, -1)
        Y = Y[:, None].expand(-1, self.columns, -1)
        return torch.cat([first, torch.cat([X, Y], dim=2).flatten(0, 1)])[None]

    def right_inverse(self, E_pos: Float[Tensor, "1 n D"]) -> tuple[Tensor, Tensor, Tensor]:
        """The tables, which begin as noise."""
        half, class_tokens = self.D // 2, E_pos.shape[1] - self.rows * self.columns
        sizes = ((self.columns, half), (self.rows, self.D - half), (class_tokens, self.D))
        X, Y, first = (torch.randn(size).to(E_pos) * DEVIATION for size in sizes)
        return X, Y, first


class RelativePositions(NoPositions):
    """How far apart two tokens of the sequence are, for attention alone, in every layer."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        n = self.embedding.E_pos.shape[1]
        for block in self.blocks:
            block.msa = RelativeMSA(config, n)


class RelativeMSA(MSA):
    """Attention with an embedding r of each offset, for all heads: A = softmax(q (k + r)ᵀ / √D_h).

    Appendix D.4: queries also ask the embedding of the offset from themselves to each key, and
    both answers are added before the softmax. The offset i − j counts tokens of the sequence, in
    one dimension.
    """

    def __init__(self, config: ViTConfig, n: int) -> None:
        super().__init__(config)
        offsets, D_h = 2 * n - 1, config.hidden_size // config.num_heads
        self.r_E_pos = nn.Parameter(torch.randn(offsets, D_h) * DEVIATION)

    def forward(self, z: Float[Tensor, "B n D"], m: int | None = None) -> Float[Tensor, "B m D"]:
        """As in `MSA`, with relative attention."""
        q, k, v = self.qkv(z, m)
        A = F.dropout(self._softmax(q, k), self.attention_dropout if self.training else 0.0)
        return self.U_msa((A @ v).transpose(1, 2).flatten(2))

    def weights(self, z: Float[Tensor, "B n D"]) -> Float[Tensor, "B k n n"]:
        """As in `MSA`, with relative attention."""
        q, k, _ = self.qkv(z)
        return self._softmax(q, k)

    def _softmax(
        self, q: Float[Tensor, "B k m Dh"], k: Float[Tensor, "B k n Dh"]
    ) -> Float[Tensor, "B k m n"]:
        m, n = q.shape[2], k.shape[2]
        i, j = torch.arange(m, device=q.device), torch.arange(n, device=q.device)
        r = self.r_E_pos[i[:, None] - j + n - 1]  # (m, n, D_h)
        relative = torch.einsum("bkid,ijd->bkij", q, r)
        return torch.softmax((q @ k.mT + relative) / math.sqrt(q.shape[-1]), dim=-1)


class Hybrid(ViT):
    """Patches of a small ResNet's feature map in place of patches of pixels.

    The stem halves the image log2(P) times, so that each place of its map is one token and the
    sequence is as long as without it. Departs from the paper: three stages and not a ResNet-50,
    which is what suits small images; GroupNorm as in the paper's ResNets, without weight
    standardisation.

    Raises:
        ValueError: if P is not a power of two, at least 2.

    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        halvings = config.patch_size.bit_length() - 1
        if config.patch_size != 2**halvings or not halvings:
            raise ValueError(f"a hybrid halves the image: no patch_size {config.patch_size}")
        widths = [min(32 * 2**i, 256) for i in range(halvings)]
        of_map = replace(config, image_size=config.grid, patch_size=1, num_channels=widths[-1])
        stem = resnet_stem(config.num_channels, widths)
        self.embedding = nn.Sequential(stem, PatchEmbedding(of_map))  # type: ignore[assignment]


def resnet_stem(channels: int, widths: list[int]) -> nn.Sequential:
    """A convolution and one residual block for each further width; each halves the map.

    Args:
        channels: of the image.
        widths: channels of the maps, multiples of 32.

    """
    norm = partial(nn.GroupNorm, 32)
    layers: list[nn.Module] = [
        nn.Conv2d(channels, widths[0], 3, stride=2, padding=1, bias=False),
        norm(widths[0]),
        nn.ReLU(),
    ]
    for before, width in pairwise(widths):
        shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride=2, bias=False), norm(width))
        layers.append(BasicBlock(before, width, 2, shortcut, norm_layer=norm))
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Variant:
    """One network that is compared.

    Attributes:
        title: what it is, in a table.
        build: from a config to the network.
        paper: its accuracy in Table 8 (first column), in 0-1; None if it is not in that table.

    """

    title: str
    build: Callable[[ViTConfig], ViT]
    paper: float | None = None


def _with_average_pooling(config: ViTConfig) -> ViT:
    return ViT(replace(config, pooling="average"))


VARIANTS = {
    "none": Variant("no positions", NoPositions, 0.61382),
    "1d": Variant("1-D", Positions1D, 0.64206),
    "2d": Variant("2-D", Positions2D, 0.64001),
    "relative": Variant("relative", RelativePositions, 0.64032),
    "sines": Variant("1-D that begins as sines (foodvision's)", ViT),
    "average": Variant("average pooling (Figure 9)", _with_average_pooling),
    "hybrid": Variant("ResNet stem (hybrid)", Hybrid),
}
"""By the name that `foodvision paper positions --variant` takes."""
