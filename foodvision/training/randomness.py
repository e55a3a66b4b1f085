"""Every random choice as a function of what it is for, never of what was drawn before.

About a sample: of (seed, epoch, sample index). About a batch: of (seed, step). So a resumed run,
or one with another number of workers, is the same run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# Which choice it is, so that no two share a stream.
INITIAL_WEIGHTS, ORDER, SAMPLE, STEP = range(4)


def seed_for(seed: int, kind: int, *position: int) -> int:
    """A 63-bit seed for one choice of a run, independent of every other one's."""
    state = np.random.SeedSequence([seed, kind, *position]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int, kind: int, *position: int) -> Iterator[None]:
    """Draw from torch's CPU generator as seeded for this choice; put it back afterwards."""
    state = torch.get_rng_state()
    # Not torch.manual_seed, which would reach for every accelerator too, for every sample.
    torch.default_generator.manual_seed(seed_for(seed, kind, *position))
    try:
        yield
    finally:
        torch.set_rng_state(state)
