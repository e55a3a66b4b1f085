"""Networks that others have trained: torchvision's, timm's, transformers', the authors'."""

from foodvision.weights.checkpoint import Checkpoint, Pretrained
from foodvision.weights.from_transformers import to_transformers_config
from foodvision.weights.layouts import GOOGLE, TIMM, TORCHVISION, TRANSFORMERS
from foodvision.weights.positions import Resampling, resize_positions
from foodvision.weights.repository import (
    CONFIG,
    PREPROCESSOR,
    WEIGHTS,
    find_repository,
    read_json,
    read_repository,
)
from foodvision.weights.source import load_pretrained, read_checkpoint

__all__ = [
    "CONFIG",
    "GOOGLE",
    "PREPROCESSOR",
    "TIMM",
    "TORCHVISION",
    "TRANSFORMERS",
    "WEIGHTS",
    "Checkpoint",
    "Pretrained",
    "Resampling",
    "find_repository",
    "load_pretrained",
    "read_checkpoint",
    "read_json",
    "read_repository",
    "resize_positions",
    "to_transformers_config",
]
