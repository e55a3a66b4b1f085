"""Networks that others have trained: torchvision's, timm's, transformers', the authors'."""

from foodvision.models.weights.checkpoint import Checkpoint, Pretrained
from foodvision.models.weights.formats import GOOGLE, TIMM, TORCHVISION, TRANSFORMERS
from foodvision.models.weights.positions import Resampling, resize_positions
from foodvision.models.weights.repository import (
    CONFIG,
    PREPROCESSOR,
    WEIGHTS,
    find_repository,
    read_json,
    read_repository,
)
from foodvision.models.weights.source import load_pretrained, read_checkpoint
from foodvision.models.weights.transformers import to_transformers_config

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
