"""Networks: from a batch of prepared pictures to logits."""

from typing import TypeAlias

from foodvision.models.vit import VARIANTS, ViT, ViTConfig
from foodvision.models.vit_builtin import ViTBuiltin

Network: TypeAlias = ViT

__all__ = ["VARIANTS", "Network", "ViT", "ViTBuiltin", "ViTConfig"]
