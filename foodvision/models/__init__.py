"""Networks: from a batch of prepared images to logits."""

from typing import TypeAlias

from foodvision.models.library import TorchvisionConfig, TorchvisionNetwork
from foodvision.models.vit import VARIANTS, ViT, ViTConfig
from foodvision.models.vit_builtin import ViTBuiltin

Network: TypeAlias = ViT | TorchvisionNetwork
"""What a `Classifier` holds: config, features, head, and stages for training."""

NetworkConfig: TypeAlias = ViTConfig | TorchvisionConfig

__all__ = [
    "VARIANTS",
    "Network",
    "NetworkConfig",
    "TorchvisionConfig",
    "TorchvisionNetwork",
    "ViT",
    "ViTBuiltin",
    "ViTConfig",
]
