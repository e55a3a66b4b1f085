"""Networks: from a batch of prepared pictures to logits."""

from foodvision.models.vit import VARIANTS, ViT, ViTConfig
from foodvision.models.vit_builtin import ViTBuiltin

__all__ = ["VARIANTS", "ViT", "ViTBuiltin", "ViTConfig"]
