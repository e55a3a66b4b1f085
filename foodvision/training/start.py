"""Where a run begins: a network, and how it wants its pictures."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from foodvision.errors import ModelError, RecipeError
from foodvision.images import ImageSpec
from foodvision.models import VARIANTS, Network, NetworkConfig, ViT, ViTConfig
from foodvision.models.vit import parse_name
from foodvision.models.weights import read_checkpoint
from foodvision.training.randomness import INITIAL_WEIGHTS, seeded
from foodvision.training.recipe import Recipe

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """What a run begins with."""

    network: Network
    """What is not to be trained wants no gradient."""
    spec: ImageSpec
    """How its pictures are prepared."""
    sha256: str | None
    """Of the weights, their head apart, and of how pictures are prepared; None without weights."""


def starting_point(recipe: Recipe, classes: tuple[str, ...]) -> Start:
    """The recipe's weights; or none, seeded.

    Weights keep their own head where it is of the same classes, and get one of zeros elsewhere.

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
        known = checkpoint.classes == classes
        if known:
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
    return Start(network, spec, fingerprint(network, spec))


def fingerprint(network: Network, spec: ImageSpec) -> str:
    """SHA-256 of all that features depend on: everything but the head."""
    digest = hashlib.sha256(f"{replace(network.config, num_classes=1)} {spec}".encode())
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith("head."):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


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
        raise RecipeError("batch_size = 1: this network's batch norms want two pictures or more")


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
    if not isinstance(network, ViT):
        return network
    names = ("dropout", "attention_dropout", "stochastic_depth")
    with torch.device("meta"):
        result = ViT(replace(network.config, **{name: getattr(recipe, name) for name in names}))
    result.load_state_dict(network.state_dict(), assign=True)
    return result
