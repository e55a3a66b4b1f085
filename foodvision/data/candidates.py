"""Pairs of images that may be near-duplicates, by their coarse structure.

Sketches come in, and pairs go out, with the crop of one image that looks most like the other. Every
image is compared with every other, so a pair costs a few hundred operations; `alignment` then
decides about the few that are left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foodvision.data.sketch import SIDE, luma
from foodvision.progress import progress_bar

FREQUENCIES = 8
"""Cosine frequencies that are compared. Finer ones change in a cropped copy."""

THRESHOLD = 0.75
"""Cosine similarity of candidates. Measured: 4 of 93,304 photographs of food reach it by chance."""

MAX_CANDIDATES = 32
"""Of one image: the most similar ones. It bounds time and memory on images that all look alike."""

MIN_CONTRAST = 2.0
"""Grey levels (standard deviation). Below it, an image has no structure that could be compared."""

CUT = 0.07
"""Share of a side that a crop loses on one of its edges, or on none."""

_EDGES = ((0.0, 1.0), (0.0, 1 - CUT), (CUT, 1.0))
CROPS = np.array([(*x, *y) for x in _EDGES for y in _EDGES])
"""Left, right, top and bottom of 9 parts of an image, in 0-1; the first is the whole image."""

_ROWS, _COLUMNS = 64, 2048  # 9 × 64 × 2048 similarities in memory at a time


class Candidates(NamedTuple):
    """Pairs of images that may show the same photograph; each array has shape (m,).

    Attributes:
        whole: the image that looks like a part of the other.
        larger: the other image.
        crop: index into `CROPS`, that part of `larger`.
        mirrored: whether the part looks like the mirror image of `whole`.
        similarity: cosine, `THRESHOLD` to 1.

    """

    whole: np.ndarray
    larger: np.ndarray
    crop: np.ndarray
    mirrored: np.ndarray
    similarity: np.ndarray


def find_candidates(sketches: np.ndarray) -> Candidates:
    """Compare all images with parts of all images, with a progress bar.

    Args:
        sketches: uint8 of shape (n, LENGTH).

    Returns:
        At most one candidate for each two images.

    """
    if not len(sketches):
        return Candidates(*(np.zeros(0, kind) for kind in (int, int, int, bool, np.float32)))
    wholes = np.concatenate(
        [_spectra(luma(sketches[i : i + _COLUMNS]))[0] for i in range(0, len(sketches), _COLUMNS)]
    )
    found = []
    with progress_bar() as bar:
        task = bar.add_task("comparing", total=len(sketches), unit="images", info="")
        for start in range(0, len(sketches), _ROWS):
            parts = _spectra(luma(sketches[start : start + _ROWS]), CROPS)
            found.append(_most_similar(parts, wholes, start))
            bar.advance(task, parts.shape[1])
    return _one_per_pair(Candidates(*map(np.concatenate, zip(*found, strict=True))))


def _most_similar(parts: np.ndarray, wholes: np.ndarray, start: int) -> Candidates:
    """The candidates among images `start`, … as the larger ones, given the spectra of parts."""
    kinds, rows, _ = parts.shape
    found = []
    for mirrored in (False, True):
        queries = (parts * _MIRROR if mirrored else parts).reshape(kinds * rows, -1)
        for first in range(0, len(wholes), _COLUMNS):
            similar = queries @ wholes[first : first + _COLUMNS].T
            similar = similar.reshape(kinds, rows, -1)
            row, column = np.nonzero(similar.max(0) > THRESHOLD)
            crop = similar[:, row, column].argmax(0)
            found.append(
                (first + column, row, crop, mirrored + 0 * crop, similar[crop, row, column])
            )
    whole, row, crop, mirror, value = (np.concatenate(a) for a in zip(*found, strict=True))
    order = np.lexsort((-value, row))
    order = order[whole[order] != row[order] + start]
    rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
    order = order[rank < MAX_CANDIDATES]
    pairs = (whole[order].astype(np.int32), (row[order] + start).astype(np.int32))
    return Candidates(*pairs, crop[order].astype(np.int8), mirror[order] > 0, value[order])


def _one_per_pair(found: Candidates) -> Candidates:
    """The most similar candidate of each two images."""
    low, high = np.minimum(found.whole, found.larger), np.maximum(found.whole, found.larger)
    order = np.lexsort((-found.similarity, high, low))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    return Candidates(*(values[order[new]] for values in found))


def _cosines() -> np.ndarray:
    """The rows of the discrete cosine transform, of shape (FREQUENCIES, SIDE)."""
    places = (np.arange(SIDE) + 0.5) / SIDE
    return np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * places).astype(np.float32)


def _resampled(low: float, high: float) -> np.ndarray:
    """The matrix of shape (SIDE, SIDE) that enlarges a part of a row by linear interpolation."""
    places = (low + (high - low) * (np.arange(SIDE) + 0.5) / SIDE) * SIDE - 0.5
    distance = np.abs(np.clip(places, 0, SIDE - 1)[:, None] - np.arange(SIDE))
    return np.maximum(0, 1 - distance).astype(np.float32)


_FREQUENCY = np.hypot(*np.mgrid[:FREQUENCIES, :FREQUENCIES])
_USED = (_FREQUENCY > 0) & (_FREQUENCY < FREQUENCIES)
# Amplitudes in photographs fall with the frequency; weighted by it, all count about the same.
_WEIGHTS = _FREQUENCY[_USED].astype(np.float32)
_MIRROR = np.where(np.nonzero(_USED)[1] % 2, -1, 1).astype(np.float32)


def _spectra(images: np.ndarray, crops: np.ndarray = CROPS[:1]) -> np.ndarray:
    """Weighted amplitudes of parts of images, as unit vectors; zeros without contrast.

    Args:
        images: of shape (n, SIDE, SIDE).
        crops: of shape (k, 4), as `CROPS`.

    Returns:
        float32 of shape (k, n, number of frequencies).

    """
    found = np.empty((len(crops), len(images), len(_WEIGHTS)), np.float32)
    flat = images.std((1, 2)) < MIN_CONTRAST
    for k, (left, right, top, bottom) in enumerate(crops):
        rows, columns = _cosines() @ _resampled(top, bottom), _cosines() @ _resampled(left, right)
        found[k] = (rows @ images @ columns.T)[:, _USED] * _WEIGHTS
        found[k] /= np.linalg.norm(found[k], axis=1, keepdims=True) + 1e-6
        found[k, flat] = 0
    return found
