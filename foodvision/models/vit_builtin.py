"""The same network from `torch.nn.TransformerEncoderLayer`: the course's first exercise.

It shows that the paper's encoder is PyTorch's own with ``norm_first=True`` and GELU: weights
copied from a `ViT`, the logits are equal. Only Eq. 1 and the head are not PyTorch's.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foodvision.models.config import ViTConfig
from foodvision.models.vit import PatchEmbedding, ViT


class ViTBuiltin(nn.Module):
    """`ViT` on PyTorch's encoder, without stochastic depth, which PyTorch's layer does not have."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = PatchEmbedding(config)
        layer = nn.TransformerEncoderLayer(
            d_model=config.hidden_size,
            nhead=config.num_heads,
            dim_feedforward=config.mlp_size,
            dropout=config.dropout,
            activation="gelu",
            layer_norm_eps=config.layer_norm_eps,
            batch_first=True,
            norm_first=True,
        )
        layer.self_attn.dropout = config.attention_dropout
        self.encoder = nn.TransformerEncoder(
            layer,
            config.num_layers,
            norm=nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps),
            enable_nested_tensor=False,  # that is for padded text
        )
        self.head = nn.Linear(config.hidden_size, config.num_classes)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Logits, equal to those of a `ViT` with the same weights."""
        return self.classify(self.features(x))

    def features(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The image's representation y, which the head classifies."""
        z = self.encoder(self.embedding(x))
        return z.mean(dim=1) if self.config.pooling == "average" else z[:, 0]

    def classify(self, y: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """Logits of y."""
        return self.head(y)

    @torch.no_grad()
    def copy_from(self, vit: ViT) -> None:
        """Copy the weights of a `ViT` with the same config."""
        for own, other in self._pairs(vit):
            own.copy_(other)

    def _pairs(self, vit: ViT) -> Iterator[tuple[Tensor, Tensor]]:
        """Each parameter with the `ViT`'s corresponding one."""
        own: list[nn.Module] = [self.embedding, self.encoder.norm, self.head]
        other: list[nn.Module] = [vit.embedding, vit.norm, vit.head]
        for layer, block in zip(self.encoder.layers, vit.blocks, strict=True):
            yield layer.self_attn.in_proj_weight, block.msa.U_qkv.weight
            yield layer.self_attn.in_proj_bias, block.msa.U_qkv.bias
            own += layer.self_attn.out_proj, layer.norm1, layer.norm2, layer.linear1, layer.linear2
            other += block.msa.U_msa, block.norm1, block.norm2, block.mlp[0], block.mlp[3]
        for module, counterpart in zip(own, other, strict=True):
            yield from zip(module.parameters(), counterpart.parameters(), strict=True)
