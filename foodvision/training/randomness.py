"""Every random choice as a function of its purpose, never of what was drawn before.

A choice about a sample depends on (seed, epoch, sample index), one about a batch on (seed, epoch,
batch). So a resumed run, or one with another number of workers, is the same run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# The purpose, so that no two choices share a random stream.
INITIAL_WEIGHTS, ORDER, SAMPLE, STEP, VALIDATION = range(5)


def seed_for(seed: int, kind: int, *position: int) -> int:
    """A 63-bit seed for one choice of a run, independent of all others."""
    state = np.random.SeedSequence([seed, kind, *position]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int, kind: int, *position: int) -> Iterator[None]:
    """Seed torch's CPU generator for this choice, and restore its state afterwards."""
    state = torch.get_rng_state()
    # Not torch.manual_seed, which would seed every accelerator as well, once per sample.
    torch.default_generator.manual_seed(seed_for(seed, kind, *position))
    try:
        yield
    finally:
        torch.set_rng_state(state)
