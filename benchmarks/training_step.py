"""Pictures per second of one training step: our network beside timm's, in turns, as a ratio.

    make bench

Forward, backward, clipping and AdamW on random pictures at the same precision and batch size; no
data is loaded. The two take turns, so that a machine that slows down slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F
from torch import nn

from foodvision.models import ViT, ViTConfig
from foodvision.runtime import has_fast_bf16

ROUNDS, STEPS = 7, 4
CASES = [("Ti/8 at 64 px", "vit_ti8", 64, 64), ("B/16 at 224 px", "vit_b16", 224, 4)]


def build_step(network: nn.Module, image_size: int, batch_size: int) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    pixels = torch.randn(batch_size, 3, image_size, image_size)
    labels = torch.randint(0, 3, (batch_size,))
    bf16 = has_fast_bf16(torch.device("cpu"))

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = network(pixels)
        F.cross_entropy(logits.float(), labels).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds_of(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    for name, network, image_size, batch_size in CASES:
        config = ViTConfig.named(network, image_size=image_size, num_classes=3)
        theirs = timm.models.VisionTransformer(
            img_size=image_size,
            patch_size=config.patch_size,
            embed_dim=config.hidden_size,
            depth=config.num_layers,
            num_heads=config.num_heads,
            num_classes=3,
        )
        steps = [build_step(vit, image_size, batch_size) for vit in (ViT(config), theirs)]
        for step in steps:
            step()  # warm-up
        rounds = [[seconds_of(step) for step in steps] for _ in range(ROUNDS)]
        ours, others = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(other / own for own, other in rounds)
        print(
            f"{name}: ours {batch_size / ours:.1f}, timm {batch_size / others:.1f} pictures/s; "
            f"ratio {ratio:.2f} (median of {ROUNDS} rounds in turns)"
        )


if __name__ == "__main__":
    main()
