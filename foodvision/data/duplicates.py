"""Images that are the same photograph: identical files and near-duplicates.

Hashes and sketches (see `take_inventory`) come in; `Duplicates` goes out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from foodvision.data.candidates import CROPS, find_candidates
from foodvision.data.sketch import mirrored
from foodvision.prefetch import prefetch
from foodvision.progress import progress_bar

_BATCH = 256  # pairs that are aligned together: they fit into the processor's cache
_AHEAD = 8  # batches


@dataclass(frozen=True)
class Duplicates:
    """Which of n images are the same photograph, by their positions.

    Attributes:
        n: number of images that were compared.
        identical: positions of images with the same bytes: groups of two or more, ascending.
        near: int64 of shape (m, 2), each row i < j: images that differ in bytes, and show the same
            photograph re-encoded, resized, slightly cropped, brightened or mirrored. Of identical
            images only the first is compared.
        similarity: of each of these pairs, in 0-1.

    """

    n: int
    identical: Sequence[Sequence[int]]
    near: np.ndarray
    similarity: np.ndarray

    def groups(self) -> list[list[int]]:
        """The images that belong together, directly or through others: two or more, ascending."""
        from scipy.sparse import coo_array  # a third of a second, which few commands need
        from scipy.sparse.csgraph import connected_components

        chains = [pair for group in self.identical for pair in pairwise(group)]
        pairs = np.concatenate([self.near, np.array(chains, np.int64).reshape(-1, 2)])
        graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (self.n, self.n))
        members = defaultdict(list)
        for i, group in enumerate(connected_components(graph, directed=False)[1].tolist()):
            members[group].append(i)
        return [group for group in members.values() if len(group) > 1]


def find_duplicates(sha256: Sequence[str], sketches: np.ndarray | None) -> Duplicates:
    """Find identical and near-duplicate images.

    Args:
        sha256: of the bytes of each image.
        sketches: of each image, uint8 of shape (n, LENGTH); None finds identical images only.

    """
    positions = defaultdict(list)
    for i, digest in enumerate(sha256):
        positions[digest].append(i)
    first = np.array([group[0] for group in positions.values()], np.int64)
    identical = [group for group in positions.values() if len(group) > 1]
    if sketches is None:
        return Duplicates(len(sha256), identical, np.zeros((0, 2), np.int64), np.zeros(0))
    pairs, similarity = _near(sketches[first])
    near = first[pairs]
    order = np.lexsort((near[:, 1], near[:, 0]))
    return Duplicates(len(sha256), identical, near[order], similarity[order])


def _near(sketches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of sketches that show the same photograph, and their similarity."""
    from foodvision.data.alignment import alignment  # imports scipy

    found = find_candidates(sketches)
    batches = [slice(start, start + _BATCH) for start in range(0, len(found.whole), _BATCH)]

    def compare(batch: slice) -> np.ndarray:
        whole, mirror = sketches[found.whole[batch]], found.mirrored[batch]
        whole[mirror] = mirrored(whole[mirror])
        return alignment(whole, sketches[found.larger[batch]], CROPS[found.crop[batch]])

    similarity = np.zeros(len(found.whole))
    with progress_bar() as bar:
        task = bar.add_task("aligning", total=len(found.whole), unit="pairs", info="")
        for batch, values in zip(batches, prefetch(compare, batches, _AHEAD), strict=True):
            similarity[batch] = values
            bar.advance(task, len(values))
    same = similarity > 0
    pairs = np.stack([found.whole[same], found.larger[same]], 1).astype(np.int64)
    return np.sort(pairs, 1), similarity[same]
