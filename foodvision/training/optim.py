"""The optimiser and its learning rate over the steps of a run."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from foodvision.training.recipe import Recipe


def build_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """AdamW (β 0.9, 0.999: section 4.1) or SGD (momentum 0.9) with the recipe's weight decay."""
    groups = parameter_groups(network, recipe.weight_decay)
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=recipe.learning_rate, momentum=0.9)
    return AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.999))


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices with weight decay; biases, norms, class token and positions without."""
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim >= 2 and not name.endswith(("x_class", "E_pos"))
        (decayed if is_matrix else undecayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]


def build_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LambdaLR:
    """Linear warm-up, then cosine or linear decay to 0 at the last step."""
    return LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, recipe))


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the full learning rate that step 0, ..., steps − 1 takes, in (0, 1]."""
    warmup = round(steps * recipe.warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    if recipe.schedule == "linear":
        return 1 - done
    return (1 + math.cos(math.pi * done)) / 2
