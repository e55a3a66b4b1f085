"""The optimisers and their learning rate over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeAlias

from torch import nn
from torch.optim import SGD, AdamW, Muon, Optimizer

from foodvision.training.recipe import Recipe


def build_optimizers(network: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """The recipe's optimiser, with its weight decay; two where each has parameters of its own.

    AdamW has β 0.9 and 0.999 (section 4.1), SGD momentum 0.9. Muon (Jordan 2024,
    https://kellerjordan.github.io/posts/muon) replaces the momentum of a matrix by the nearest
    orthogonal one, here scaled to the size of AdamW's steps (arXiv 2502.16982, section 2.2), so
    that both take the same learning rate. It is for the matrices of the encoder's blocks; patch
    projection, head and all that is no matrix keep AdamW.
    """
    rate, decay = recipe.learning_rate, recipe.weight_decay
    hidden, matrices, others = parameter_kinds(network)
    if recipe.optimizer == "sgd":
        return [SGD(_groups(hidden + matrices, others, decay), lr=rate, momentum=0.9, fused=True)]
    if recipe.optimizer == "adamw":
        return [AdamW(_groups(hidden + matrices, others, decay), lr=rate, fused=True)]
    return [
        Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        AdamW(_groups(matrices, others, decay), lr=rate, fused=True),
    ]


Parameters: TypeAlias = list[nn.Parameter]


def parameter_kinds(network: nn.Module) -> tuple[Parameters, Parameters, Parameters]:
    """Matrices of the encoder's blocks, other matrices and filters, and all that never decays.

    The last are biases, norms, class token and position embeddings.
    """
    hidden: Parameters = []
    matrices: Parameters = []
    others: Parameters = []
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2 or name.endswith(("x_class", "E_pos")):
            others.append(parameter)
        else:
            (hidden if name.startswith("blocks.") else matrices).append(parameter)
    return hidden, matrices, others


def _groups(decayed: Parameters, others: Parameters, decay: float) -> list[dict[str, Any]]:
    return [
        {"params": decayed, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def set_learning_rate(
    optimizers: Iterable[Optimizer], recipe: Recipe, step: int, steps: int
) -> float:
    """Give all groups the rate of step 0, ..., steps − 1: a function of the step, so no state."""
    rate = recipe.learning_rate * learning_rate_factor(step, steps, recipe)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the full learning rate that step 0, ..., steps − 1 takes, in (0, 1]."""
    warmup = round(steps * recipe.warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    if recipe.schedule == "linear":
        return 1 - done
    return (1 + math.cos(math.pi * done)) / 2
