"""The Vision Transformer of "An Image is Worth 16x16 Words" (arXiv 2010.11929).

To be read beside the paper. A batch of images x comes in, the logits of K classes go out. Every
line that is one of the paper's equations 1-4 (section 3.1) or 5-8 (appendix A) carries its number,
and local variables are the paper's symbols:

    B images, C channels, H × W pixels, P × P pixels a patch, N = HW / P² patches,
    L layers, D hidden size, k heads of D_h = D / k, K classes
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from foodvision.models.config import ViTConfig


class ViT(nn.Module):
    """The whole network: Eq. 1, then L times Eq. 2 and 3, then Eq. 4, then one linear head.

    Departs from the paper: the head is one linear layer in pre-training too, where the paper has
    a hidden tanh layer (section 3.1), because fine-tuning throws that layer away.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = PatchEmbedding(config)
        self.blocks = nn.ModuleList(
            EncoderBlock(
                config, skip=config.stochastic_depth * layer / max(1, config.num_layers - 1)
            )
            for layer in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.head = nn.Linear(config.hidden_size, config.num_classes)
        # All logits start at zero: before training the loss is exactly log K.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Logits."""
        return self.classify(self.features(x))

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The image's representation y, which the head classifies."""
        z = self.embedding(x)  # Eq. 1
        # Eq. 4 reads z_L⁰ alone: the last block makes no other token, which costs nothing in y.
        read = 1 if self.config.pooling == "class_token" else None
        for block in self.blocks[:-1]:
            z = block(z)  # Eq. 2 and 3
        z = self.blocks[-1](z, read)
        if self.config.pooling == "average":
            return self.norm(z).mean(dim=1)
        return self.norm(z[:, 0])  # Eq. 4: y = LN(z_L⁰)

    def classify(self, y: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """Logits of y, in float32 under autocast too: their differences are what log loss sees."""
        with torch.autocast(y.device.type, enabled=False):
            return self.head(y.to(self.head.weight.dtype))

    def stages(self) -> list[nn.Module]:
        """The modules between image and features in their order.

        Every parameter but the head's is in exactly one of them.
        """
        return [self.embedding, *self.blocks, self.norm]

    def attention(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "L B k n n"]:
        """The attention maps A of every layer and head (Eq. 6), n = N + 1 with a class token.

        Row i says how much token i takes from each token, and sums to 1. Computed on demand and
        plainly, because fused attention never holds A.
        """
        z = self.embedding(x)
        A = []
        for block in self.blocks:
            A.append(block.msa.weights(block.norm1(z)))
            z = block(z)
        return torch.stack(A)


class PatchEmbedding(nn.Module):
    """Images to tokens, Eq. 1: z_0 = [x_class; x_p¹E; x_p²E; ...; x_pᴺE] + E_pos.

    E is the linear projection of a flattened patch (P²·C values to D), x_class the learned class
    token and E_pos the learned position embedding of each token.

    Departs from the paper: E_pos begins as sines of row and column, not as noise of deviation
    0.02. It is what the paper's own embeddings grow into on much data (Figure 7; section 4.5), and
    what its authors' later baseline starts from (arXiv 2205.01580). On 1,883 images, twelve
    epochs end at a validation log loss of 0.78 instead of 0.89 (docs/results.md).
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        N, D = math.prod(config.grid), config.hidden_size
        self.E = nn.Linear(config.patch_size**2 * config.num_channels, D)
        with_class_token = config.pooling == "class_token"
        self.x_class = nn.Parameter(torch.zeros(1, 1, D)) if with_class_token else None
        self.E_pos = nn.Parameter(torch.zeros(1, N + with_class_token, D))
        self.dropout = nn.Dropout(config.dropout)
        if not self.E_pos.is_meta:  # a network about to be loaded computes nothing
            with torch.no_grad():
                self.E_pos[:, -N:] = sine_positions(*config.grid, D)
        # Flax's default (LeCun 2012, truncated at two deviations), as the authors' code has it.
        std = self.E.in_features**-0.5 / 0.87962566103423978
        nn.init.trunc_normal_(self.E.weight, std=std, a=-2 * std, b=2 * std)
        nn.init.zeros_(self.E.bias)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B n D"]:
        """Tokens z_0.

        Raises:
            ValueError: if the images are not of the size the network was built for.

        """
        if x.shape[1:] != (self.config.num_channels, *self.config.input_size):
            raise ValueError(
                f"this network takes {self.config.num_channels} channels of "
                f"{self.config.input_size} pixels, not {tuple(x.shape[1:])}"
            )
        return self.sequence(self.E(self.patches(x)))  # Eq. 1

    def sequence(self, z: Float[Tensor, "B N D"]) -> Float[Tensor, "B n D"]:
        """The embedded patches x_p E behind the class token, all with their positions."""
        if self.x_class is not None:
            z = torch.cat([self.x_class.expand(z.shape[0], -1, -1).to(z.dtype), z], dim=1)
        return self.dropout(z + self.E_pos)

    def patches(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N P2C"]:
        """The flattened patches x_p, row by row; within one, channel by channel.

        With E it is a convolution of kernel and stride P, written as the paper says it.
        """
        B, C, _, _ = x.shape
        P, (rows, columns) = self.config.patch_size, self.config.grid
        x = x.reshape(B, C, rows, P, columns, P)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(B, rows * columns, C * P * P)


def sine_positions(rows: int, columns: int, D: int) -> Float[Tensor, "N D"]:
    """Sines and cosines of column and row, a quarter of D each, at wavelengths of 2π to 10⁴·2π.

    The scheme of "Attention is all you need" (arXiv 1706.03762, section 3.5) in two dimensions;
    what D leaves over after a division by four stays 0.
    """
    quarter = D // 4
    frequency = 10_000.0 ** -torch.linspace(0, 1, quarter)
    row = torch.arange(rows).repeat_interleave(columns)[:, None] * frequency
    column = torch.arange(columns).repeat(rows)[:, None] * frequency
    waves = torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1)
    return F.pad(waves, (0, D - 4 * quarter))


class EncoderBlock(nn.Module):
    """One layer of the encoder (Figure 1, right): Eq. 2 and Eq. 3."""

    def __init__(self, config: ViTConfig, skip: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.msa = MSA(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(config.dropout)
        self.skip = StochasticDepth(skip, mode="row")

    def forward(self, z: Float[Tensor, "B n D"], m: int | None = None) -> Float[Tensor, "B m D"]:
        """z_l from z_(l-1): of the first m tokens, or of all."""
        # Eq. 2: z' = MSA(LN(z)) + z
        z = self.skip(self.dropout(self.msa(self.norm1(z), m))) + z[:, :m]
        z = self.skip(self.mlp(self.norm2(z))) + z  # Eq. 3: z = MLP(LN(z')) + z'
        return z


class MSA(nn.Module):
    """Multiheaded self-attention, Eq. 5-8 (appendix A)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.num_heads = config.num_heads
        self.attention_dropout = config.attention_dropout
        self.U_qkv = nn.Linear(D, 3 * D)
        self.U_msa = nn.Linear(D, D)
        # q, k and v are three matrices in one: each is initialised for its own D × D.
        for matrix in (*self.U_qkv.weight.chunk(3), self.U_msa.weight):
            nn.init.xavier_uniform_(matrix)
        nn.init.zeros_(self.U_qkv.bias)
        nn.init.zeros_(self.U_msa.bias)

    def forward(self, z: Float[Tensor, "B n D"], m: int | None = None) -> Float[Tensor, "B m D"]:
        """The first m tokens' (or all tokens') weighted mean of all tokens' values, per head."""
        q, k, v = self.qkv(z, m)  # Eq. 5
        dropout = self.attention_dropout if self.training else 0.0
        if q.device.type == "cpu" and q.dtype == torch.bfloat16:
            # PyTorch's fused kernel takes two to four times as long there (docs/results.md).
            A = torch.softmax(q / math.sqrt(q.shape[-1]) @ k.transpose(-2, -1), dim=-1)  # Eq. 6
            SA = F.dropout(A, dropout) @ v  # Eq. 7
        else:  # Eq. 6 and 7 in one kernel that never holds A: SA(z) = softmax(q kᵀ / √D_h) v
            SA = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.U_msa(SA.transpose(1, 2).flatten(2))  # Eq. 8: [SA_1; ...; SA_k] U_msa

    def qkv(
        self, z: Float[Tensor, "B n D"], m: int | None = None
    ) -> tuple[Float[Tensor, "B k m Dh"], Float[Tensor, "B k n Dh"], Float[Tensor, "B k n Dh"]]:
        """Queries (of the first m tokens), keys and values per head, Eq. 5: [q, k, v] = z U_qkv."""
        D = z.shape[-1]
        if m is None:
            q, k, v = self.U_qkv(z).chunk(3, dim=-1)
        else:
            U, b = self.U_qkv.weight, self.U_qkv.bias
            q = F.linear(z[:, :m], U[:D], b[:D])
            k, v = F.linear(z, U[D:], b[D:]).chunk(2, dim=-1)
        return self._heads(q), self._heads(k), self._heads(v)

    def _heads(self, x: Float[Tensor, "B n D"]) -> Float[Tensor, "B k n Dh"]:
        B, n, D = x.shape
        return x.reshape(B, n, self.num_heads, D // self.num_heads).transpose(1, 2)

    def weights(self, z: Float[Tensor, "B n D"]) -> Float[Tensor, "B k n n"]:
        """The attention weights, Eq. 6: A = softmax(q kᵀ / √D_h)."""
        q, k, _ = self.qkv(z)
        return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1)


class MLP(nn.Sequential):
    """Two dense layers with a GELU between (section 3.1).

    Departs from the authors' code: GELU is exact, where Flax's default is the tanh approximation,
    because every published PyTorch port of the weights has it so.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(
            nn.Linear(config.hidden_size, config.mlp_size),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.mlp_size, config.hidden_size),
            nn.Dropout(config.dropout),
        )
        for layer in (self[0], self[3]):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)
