"""From labelled images and a recipe to a `Classifier`."""

from foodvision.training.recipe import Recipe, load_recipe
from foodvision.training.run import TrainingResult, train

__all__ = ["Recipe", "TrainingResult", "load_recipe", "train"]
