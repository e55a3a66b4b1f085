"""One network divided among the processes of a run, by torch's FSDP2; and its state in one piece.

Each process keeps a part of every parameter, and with it of its gradient, its optimiser state and
its average. A stage of the network is gathered while it computes, and no longer. A checkpoint holds
whole tensors, as that of one process does: any number of processes resumes from it, sharded or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from foodvision.models.network import Network
from foodvision.training.ranks import from_rank_0
from foodvision.training.recipe import Recipe

LARGEST_WHOLE = 350_000_000
"""Parameters of a network that each process still has whole: L has 305 million, H 632 million."""


def is_sharded(network: Network, recipe: Recipe, ranks: int) -> bool:
    """Whether a network of the recipe is divided among this many processes."""
    if ranks == 1 or recipe.sharded is not None:
        return ranks > 1 and bool(recipe.sharded)
    return sum(parameter.numel() for parameter in network.parameters()) > LARGEST_WHOLE


def shard(network: Network, device: torch.device) -> None:
    """Leave this rank its part of the network, in place and on the device; every rank calls it.

    Accelerate's plugin for FSDP2 does not run on the CPU.
    """
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    # The first stage, before the blocks, is small, and is not always called as one module.
    for module in (*network.stages()[1:], network):
        fully_shard(module, mesh=mesh, reshard_after_forward=True)  # type: ignore[call-overload]


def local(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """The part of each on this rank, or the whole if it is not sharded; views, without gradient."""
    return [p.to_local() if isinstance(p, DTensor) else p for p in map(Tensor.detach, parameters)]


def gathered(state: Any) -> Any:
    """A state with whole tensors in place of sharded ones: on rank 0, on the CPU.

    Every rank calls it; the others get None in their place, and hold one tensor at a time.

    Args:
        state: tensors and plain types, in dictionaries and lists.

    """
    if isinstance(state, dict):
        return {name: gathered(value) for name, value in state.items()}
    if isinstance(state, list):
        return [gathered(value) for value in state]
    if not isinstance(state, DTensor):
        return state
    whole = state.full_tensor()
    return whole.cpu() if distributed.get_rank() == 0 else None


@torch.no_grad()
def load_network(network: Network, state: Mapping[str, Tensor]) -> None:
    """Take over rank 0's whole tensors; every rank calls it, with tensors of the same shapes."""
    for name, own in network.state_dict().items():
        own.copy_(_part(state[name], own))


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """The same for an optimiser's state, by the number of its parameter.

    The groups are the recipe's already; whether their steps are fused depends on the sharding.
    """
    own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    parts = {
        number: {
            name: _part(value, own[number]) if value.shape == own[number].shape else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": parts, "param_groups": groups})


def _part(whole: Tensor, own: Tensor) -> Tensor:
    """What this rank has of rank 0's tensor: as much as of its own."""
    if isinstance(own, DTensor):
        return distribute_tensor(whole, own.device_mesh, own.placements)
    return from_rank_0(lambda: whole)
