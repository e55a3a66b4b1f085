"""Where a run starts: a network, and how its images are prepared."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import NamedTuple

from foodvision.classifier.licence import SCRATCH, Licence, licence_behind, without_folders
from foodvision.errors import ModelError, RecipeError
from foodvision.images import ImageSpec
from foodvision.models.network import Network, build_network
from foodvision.training.masked import COLOURS, MaskedViT
from foodvision.training.randomness import INITIAL_WEIGHTS, seeded
from foodvision.training.recipe import Recipe
from foodvision.training.teacher import Teacher, load_teacher
from foodvision.weights.source import read_checkpoint
from foodvision.weights.tensors import sha256_of

log = logging.getLogger(__name__)


class Start(NamedTuple):
    """What a run starts with."""

    network: Network
    """Frozen parameters have `requires_grad=False`."""
    spec: ImageSpec
    """How its images are prepared."""
    sha256: str | None
    """Of the pretrained weights and their description; None when trained from scratch."""
    licence: Licence = SCRATCH
    """Of the pretrained weights."""
    teacher: Teacher | None = None
    """On the CPU; None if the labels alone are learnt."""


def starting_point(recipe: Recipe, classes: tuple[str, ...]) -> Start:
    """The network of the recipe's weights, or a new one with seeded random weights; its teacher.

    Pretrained weights keep their head if it has exactly these classes (LP-FT, arXiv 2202.10054)
    and classes are not weighted (a saved head is free of class weights). Otherwise they get a new
    head, all zeros.

    Raises:
        ModelError: if there are no such weights or teacher, or the teacher lacks a class.
        RecipeError: if their network is not the one the recipe names, or cannot be trained so.

    """
    start = _network(recipe, classes)
    if recipe.teacher is None:
        return start
    return start._replace(teacher=load_teacher(recipe.teacher, classes, start.spec))


def _network(recipe: Recipe, classes: tuple[str, ...]) -> Start:
    if recipe.weights is None:
        with seeded(recipe.seed, INITIAL_WEIGHTS):
            untrained: Network
            if recipe.method == "pretrain":
                untrained = MaskedViT(recipe.vit_config(COLOURS))
            else:
                untrained = build_network(recipe.vit_config(len(classes)))
        return Start(untrained, recipe.image_spec(), None)
    try:
        checkpoint = read_checkpoint(recipe.weights)
        known = checkpoint.has_head_for(classes) and recipe.class_weights == "none"
        if known and recipe.method != "probe":
            log.info("%s: has these classes already, so its head is kept", recipe.weights)
        num_classes = None if known else len(classes)
        pretrained = checkpoint.build(num_classes, recipe.image_size, recipe.patch_size)
    except ModelError as error:
        raise ModelError(f"{recipe.weights}: {error}") from error
    spec = pretrained.spec
    if recipe.reduced_decode is not None:
        spec = replace(spec, reduced_decode=recipe.reduced_decode)
    _check(pretrained.network, recipe)
    network = _regularised(pretrained.network, recipe)
    if recipe.trains_head_alone:
        for stage in network.stages():
            stage.requires_grad_(False)
    description = checkpoint.config, checkpoint.spec, checkpoint.classes
    licence = licence_behind(recipe.weights)
    if licence.source is None:  # from scratch, and so a beginning of its own
        licence = licence._replace(source=without_folders(recipe.weights))
    return Start(network, spec, sha256_of(checkpoint.tensors, description), licence)


def _check(network: Network, recipe: Recipe) -> None:
    """Raise RecipeError if the network is not the one the recipe names, or cannot be trained so."""
    if recipe.network and not network.config.is_named(recipe.network):
        raise RecipeError(
            f"network {recipe.network} is not the network of {recipe.weights}: leave it out, the "
            "weights bring their own"
        )
    if recipe.optimizer == "muon" and network.config.family != "vit":
        raise RecipeError(
            "optimizer = 'muon' is for the matrices of a ViT's blocks: choose 'adamw'"
        )


def _regularised(network: Network, recipe: Recipe) -> Network:
    """The same weights, with the recipe's dropout and stochastic depth."""
    try:
        config = network.config.regularised(
            dropout=recipe.dropout,
            attention_dropout=recipe.attention_dropout,
            stochastic_depth=recipe.stochastic_depth,
        )
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if config == network.config:
        return network
    result = build_network(config, empty=True)
    result.load_state_dict(network.state_dict(), assign=True)
    return result
