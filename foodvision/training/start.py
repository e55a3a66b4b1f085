"""Where a run begins: a network, and how it wants its images."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from foodvision.errors import ModelError, RecipeError
from foodvision.images import ImageSpec
from foodvision.models.config import VARIANTS, ViTConfig, parse_name
from foodvision.models.network import Network, NetworkConfig
from foodvision.models.vit import ViT
from foodvision.training.randomness import INITIAL_WEIGHTS, seeded
from foodvision.training.recipe import Recipe
from foodvision.weights.source import read_checkpoint
from foodvision.weights.tensors import sha256_of

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """What a run begins with."""

    network: Network
    """What is not to be trained wants no gradient."""
    spec: ImageSpec
    """How its images are prepared."""
    sha256: str | None
    """Of the weights as they were read, and of all that is known of them; None without weights."""


def starting_point(recipe: Recipe, classes: tuple[str, ...]) -> Start:
    """The recipe's weights; or none, seeded.

    Weights keep their own head where it is of the same classes (LP-FT, arXiv 2202.10054), and get
    one of zeros elsewhere; and where classes are weighted, as a saved head has that taken out.

    Raises:
        ModelError: if there are no such weights.
        RecipeError: if their network is not what the recipe asks for, or cannot be.

    """
    if recipe.weights is None:
        with seeded(recipe.seed, INITIAL_WEIGHTS):
            untrained = ViT(recipe.vit_config(len(classes)))
        return Start(untrained, recipe.image_spec(), None)
    try:
        checkpoint = read_checkpoint(recipe.weights)
        known = checkpoint.knows(classes) and recipe.class_weights == "none"
        if known and recipe.optimizer != "lbfgs":
            log.info("%s: knows these classes, and keeps its head", recipe.weights)
        pretrained = checkpoint.build(None if known else len(classes), recipe.image_size)
    except ModelError as error:
        raise ModelError(f"{recipe.weights}: {error}") from error
    spec = pretrained.spec
    if recipe.reduced_decode is not None:
        spec = replace(spec, reduced_decode=recipe.reduced_decode)
    _check(pretrained.network, recipe)
    network = _regularised(pretrained.network, recipe)
    if recipe.trainable == "head":
        for stage in network.stages():
            stage.requires_grad_(False)
    known_of_it = checkpoint.config, checkpoint.spec, checkpoint.classes
    return Start(network, spec, sha256_of(checkpoint.tensors, known_of_it))


def _check(network: Network, recipe: Recipe) -> None:
    """Raise RecipeError if it is not what the recipe names, or cannot be trained so."""
    if recipe.network and not _is_named(network.config, recipe.network):
        raise RecipeError(
            f"network {recipe.network} is not what {recipe.weights} holds: leave it out, it comes "
            "with the weights"
        )
    if isinstance(network, ViT):
        return
    for name in ("dropout", "attention_dropout", "stochastic_depth"):
        if value := getattr(recipe, name):
            raise RecipeError(f"{name} = {value}: only a ViT has it, not {recipe.weights}")
    if recipe.optimizer == "muon":
        raise RecipeError("optimizer = 'muon' is for the matrices of a ViT's blocks: take 'adamw'")
    norms = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    if norms and recipe.trainable == "all" and recipe.batch_size == 1:
        raise RecipeError("batch_size = 1: this network's batch norms want two images or more")


def _is_named(config: NetworkConfig, name: str) -> bool:
    if not isinstance(config, ViTConfig):
        return config.name == name
    try:
        variant, patch_size = parse_name(name)
    except ValueError:
        return False
    # The number of layers may be another one, as in recipe `scratch`.
    width = config.hidden_size == VARIANTS[variant].hidden_size
    return width and patch_size in (None, config.patch_size)


def _regularised(network: Network, recipe: Recipe) -> Network:
    """The same weights, with the recipe's dropout and stochastic depth."""
    if not isinstance(network, ViT):
        return network
    names = ("dropout", "attention_dropout", "stochastic_depth")
    with torch.device("meta"):
        result = ViT(replace(network.config, **{name: getattr(recipe, name) for name in names}))
    result.load_state_dict(network.state_dict(), assign=True)
    return result
