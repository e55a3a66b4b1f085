"""The optimisers, their learning rate over the steps of a run, and the averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from rich.table import Table
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from foodvision.models.network import Network
from foodvision.training.muon import Muon
from foodvision.training.recipe import Recipe
from foodvision.training.sharding import local


def build_optimizers(network: Network, recipe: Recipe) -> list[Optimizer]:
    """The recipe's optimiser with its weight decay; Muon comes with AdamW for the other parameters.

    Adam and AdamW have β 0.9 and 0.999 (section 4.1), SGD momentum 0.9. Muon (Jordan 2024,
    https://kellerjordan.github.io/posts/muon) replaces the momentum of a matrix by the nearest
    orthogonal one, scaled to the size of AdamW's steps (arXiv 2502.16982, section 2.2), so that
    both have the same learning rate. It trains the matrices of the encoder's blocks; patch
    projection, head and everything that is not a matrix have AdamW.
    """
    rate, groups = recipe.learning_rate, parameter_groups(network, recipe)
    if recipe.optimizer == "sgd":
        fused = not any(isinstance(p, DTensor) for p in network.parameters())  # torch cannot
        return [SGD(groups, lr=rate, momentum=0.9, fused=fused)]
    if recipe.optimizer == "adam":
        return [Adam(groups, lr=rate, fused=True)]
    if recipe.optimizer == "adamw":
        return [AdamW(groups, lr=rate, fused=True)]
    hidden = [group for group in groups if group["kind"] == HIDDEN]
    # Decided by rank 0 for all: another one might measure that bf16 is not fast.
    dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    return [
        Muon(hidden, dtype, lr=rate),
        AdamW([group for group in groups if group["kind"] != HIDDEN], lr=rate, fused=True),
    ]


HIDDEN, MATRICES, OTHERS = "matrices of blocks", "other matrices", "biases, norms, positions"


def parameter_groups(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """All trainable parameters, grouped by their treatment.

    Returns:
        For each group its ``params``; its ``kind``, of which biases, norms, class token and
        position embeddings never decay, except by Adam; its ``weight_decay``; the ``stage`` it is
        of; the name of its ``first`` parameter; and the ``scale`` of its learning rate, layer_decay
        to the power of the stages between it and the last one, which has 1 as the head has (BEiT,
        arXiv 2106.08254). Without layer_decay all stages are one.

    """
    by_stage, decays = recipe.layer_decay < 1, recipe.optimizer == "adam"
    stages = network.stages() if by_stage else []
    stage_of = {id(p): i for i, stage in enumerate(stages) for p in stage.parameters()}
    groups: dict[tuple[str, int], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        kind, stage = _kind(name, parameter), stage_of.get(id(parameter), len(stages))
        group = {
            "params": [],
            "kind": kind,
            "weight_decay": recipe.weight_decay if decays or kind != OTHERS else 0.0,
            "stage": stage,
            "first": name,
            "scale": recipe.layer_decay ** max(0, len(stages) - 1 - stage),
        }
        groups.setdefault((kind, stage), group)["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def _kind(name: str, parameter: nn.Parameter) -> str:
    # A vector of any shape is not a matrix: the class token, or ConvNeXt's layer scale.
    positions = ("E_pos", "pos_embed", "relative_position_bias_table")  # ours, timm's and Swin's
    if sum(size > 1 for size in parameter.shape) < 2 or name.endswith(positions):
        return OTHERS
    return HIDDEN if name.startswith("blocks.") else MATRICES


def groups_table(optimizers: Iterable[Optimizer]) -> Table:
    """The parameter groups with their learning rates and decays, for printing."""
    table = Table("stage", "parameters", "the first", "count", "rate ×", "decay", "optimiser")
    # Accelerate wraps each optimiser.
    rows = [
        (group["stage"], group, type(getattr(optimizer, "optimizer", optimizer)).__name__)
        for optimizer in optimizers
        for group in optimizer.param_groups
    ]
    for stage, group, optimizer in sorted(rows, key=lambda row: row[0]):
        count = sum(parameter.numel() for parameter in group["params"])
        scale, decay = f"{group['scale']:.4g}", f"{group['weight_decay']:g}"
        first = group["first"]
        table.add_row(str(stage), group["kind"], first, f"{count:,}", scale, decay, optimizer)
    return table


def set_learning_rate(
    optimizers: Iterable[Optimizer], recipe: Recipe, step: int, steps: int
) -> float:
    """Set every group's share of the learning rate of a step in 0 to steps − 1; returns the rate.

    It depends on the step alone, so there is no state to save.
    """
    rate = recipe.learning_rate * learning_rate_factor(step, steps, recipe)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
    return rate


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the full learning rate in a step in 0 to steps − 1; in (0, 1]."""
    warmup = round(steps * recipe.warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "linear":
        return 1 - done
    return (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def update_average(average: Network, network: Network, decay: float, step: int) -> None:
    """Move the averaged weights a little towards the network's, and copy its buffers.

    The average forgets faster at first, as TensorFlow's ExponentialMovingAverage does, because the
    first weights are of little use.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(local(average.parameters()), local(network.parameters()), share)
    for own, buffer in zip(average.buffers(), network.buffers(), strict=True):
        own.copy_(buffer)
