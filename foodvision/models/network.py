"""What a `Classifier` holds and training trains, whichever network it is."""

from __future__ import annotations

from typing import TypeAlias

from foodvision.models.config import ViTConfig
from foodvision.models.library import TorchvisionConfig, TorchvisionNetwork
from foodvision.models.vit import ViT

Network: TypeAlias = ViT | TorchvisionNetwork
"""What a `Classifier` holds: config, features, head, and stages for training."""

NetworkConfig: TypeAlias = ViTConfig | TorchvisionConfig
