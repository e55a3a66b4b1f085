"""foodvision: the Vision Transformer of arXiv 2010.11929, from the paper to a live app.

    import foodvision as fv
    result = fv.train("data/mini", recipe="scratch")
    report = fv.evaluate(result.classifier, "data/mini")
    result.classifier.predict("photo.jpg").label

The names below are imported when they are first used: importing foodvision does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foodvision.classifier.classifier import Classifier
    from foodvision.classifier.predict import Prediction
    from foodvision.data import Dataset, load_dataset
    from foodvision.errors import FoodvisionError, ImageError
    from foodvision.evaluation import Choice, Comparison, Findings, Report
    from foodvision.evaluation.check import check
    from foodvision.evaluation.choose import choose
    from foodvision.evaluation.compare import compare
    from foodvision.evaluation.evaluate import evaluate
    from foodvision.explanation import Explanation, explain
    from foodvision.images import ImageSpec, open_image
    from foodvision.models.config import ViTConfig
    from foodvision.models.vit import ViT
    from foodvision.models.vit_builtin import ViTBuiltin
    from foodvision.training.recipe import Recipe
    from foodvision.training.run import TrainingResult, train
    from foodvision.training.settings import load_recipe

_MODULES = {
    "Choice": "evaluation",
    "Classifier": "classifier.classifier",
    "Comparison": "evaluation",
    "Dataset": "data",
    "Explanation": "explanation",
    "Findings": "evaluation",
    "FoodvisionError": "errors",
    "ImageError": "errors",
    "ImageSpec": "images",
    "Prediction": "classifier.predict",
    "Recipe": "training.recipe",
    "Report": "evaluation",
    "TrainingResult": "training.run",
    "ViT": "models.vit",
    "ViTBuiltin": "models.vit_builtin",
    "ViTConfig": "models.config",
    "check": "evaluation",
    "choose": "evaluation",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "explain": "explanation",
    "load_dataset": "data",
    "load_recipe": "training.settings",
    "open_image": "images",
    "train": "training.run",
}

__all__ = [
    "Choice",
    "Classifier",
    "Comparison",
    "Dataset",
    "Explanation",
    "Findings",
    "FoodvisionError",
    "ImageError",
    "ImageSpec",
    "Prediction",
    "Recipe",
    "Report",
    "TrainingResult",
    "ViT",
    "ViTBuiltin",
    "ViTConfig",
    "check",
    "choose",
    "compare",
    "evaluate",
    "explain",
    "load_dataset",
    "load_recipe",
    "open_image",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'foodvision' has no attribute {name!r}")
    return getattr(importlib.import_module(f"foodvision.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
