"""Muon in float32 too, and of matrices that several processes have in parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


class Muon(torch.optim.Muon):
    """torch's Muon, whose steps scale like AdamW's; the state is the same.

    torch computes in bf16, which a CPU without AVX-512 or AMX emulates: on one core of such, a step
    of eight layers of Ti width takes 6.4 s, and in float32 0.3 s.

    Args:
        params: matrices, or groups of them.
        dtype: of the products, bfloat16 or float32.
        settings: see `torch.optim.Muon`.

    """

    def __init__(self, params: Any, dtype: torch.dtype, **settings: Any) -> None:
        super().__init__(params, adjust_lr_fn="match_rms_adamw", **settings)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; see `torch.optim.Muon`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                average = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                update = matrix.grad.lerp(average, momentum) if group["nesterov"] else average
                update = self._orthogonalised(update, group)
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(update, alpha=-0.2 * rate * math.sqrt(max(matrix.shape)))
        return loss

    def _orthogonalised(self, update: Tensor, group: dict[str, Any]) -> Tensor:
        """Of a sharded matrix, every process computes the whole, and keeps its part."""
        whole = update.full_tensor() if isinstance(update, DTensor) else update
        whole = orthogonalised(whole.to(self.dtype), group["ns_coefficients"], group["ns_steps"])
        if not isinstance(update, DTensor):
            return whole
        mesh, placements = update.device_mesh, update.placements
        return distribute_tensor(whole.to(update.dtype), mesh, placements, src_data_rank=None)


def orthogonalised(
    matrix: Float[Tensor, "m n"], coefficients: tuple[float, float, float], steps: int
) -> Float[Tensor, "m n"]:
    """Nearly the nearest orthogonal matrix: singular values become about 1.

    Args:
        matrix: of any scale.
        coefficients: of the odd polynomial of degree 5 that each step applies to the singular
            values (Jordan 2024, https://kellerjordan.github.io/posts/muon).
        steps: of the Newton-Schulz iteration.

    """
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
