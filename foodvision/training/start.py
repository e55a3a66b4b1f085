"""Where a run begins: a network, and how it wants its pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from foodvision.errors import RecipeError
from foodvision.images import ImageSpec
from foodvision.models import VARIANTS, Network, NetworkConfig, ViT, ViTConfig
from foodvision.models.vit import parse_name
from foodvision.models.weights import load_pretrained
from foodvision.training.randomness import INITIAL_WEIGHTS, seeded
from foodvision.training.recipe import Recipe


class Start(NamedTuple):
    """What a run begins with."""

    network: Network
    """What is not to be trained wants no gradient."""
    spec: ImageSpec
    """How its pictures are prepared."""


def starting_point(recipe: Recipe, num_classes: int) -> Start:
    """The recipe's weights with a new head of zeros; or none, seeded.

    Raises:
        ModelError: if there are no such weights.
        RecipeError: if their network cannot have what the recipe asks for.

    """
    if recipe.weights is None:
        with seeded(recipe.seed, INITIAL_WEIGHTS):
            return Start(ViT(recipe.vit_config(num_classes)), recipe.image_spec())
    pretrained = load_pretrained(recipe.weights, num_classes, recipe.image_size)
    if recipe.network and not _is_named(pretrained.network.config, recipe.network):
        raise RecipeError(
            f"network {recipe.network} is not what {recipe.weights} holds: leave it out, it comes "
            "with the weights"
        )
    network = _regularised(pretrained.network, recipe)
    if recipe.trainable == "head":
        for stage in network.stages():
            stage.requires_grad_(False)
    return Start(network, replace(pretrained.spec, reduced_decode=recipe.reduced_decode))


def _is_named(config: NetworkConfig, name: str) -> bool:
    if not isinstance(config, ViTConfig):
        return config.name == name
    try:
        variant, patch_size = parse_name(name)
    except ValueError:
        return False
    sizes = VARIANTS[variant]._asdict() | ({"patch_size": patch_size} if patch_size else {})
    return all(getattr(config, field) == size for field, size in sizes.items())


def _regularised(network: Network, recipe: Recipe) -> Network:
    """The same weights, with the recipe's dropout and stochastic depth."""
    settings = {
        name: getattr(recipe, name) for name in ("dropout", "attention_dropout", "stochastic_depth")
    }
    if not isinstance(network, ViT):
        for name, value in settings.items():
            if value:
                raise RecipeError(f"{name} = {value}: only a ViT has it, not {recipe.weights}")
        return network
    with torch.device("meta"):
        result = ViT(replace(network.config, **settings))
    result.load_state_dict(network.state_dict(), assign=True)
    return result
