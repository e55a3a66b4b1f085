"""Whether two sketches show the same photograph, found by laying one upon the other.

A candidate pair comes in. Gauss-Newton steps (Lucas and Kanade, 1981, with a gain and an offset for
brightness) find the part of the larger image that shows what the other one shows. Then details and
colours decide: the coarse structure of two dishes can be alike, their details are not.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from foodvision.data.sketch import CHROMA_SIDE, SIDE, chroma, luma

MIN_DETAIL = 0.8
"""Correlation of the details of two images that show the same. Measured: docs/results.md."""

MIN_CORRELATION = 0.85
"""Of the images themselves, after alignment."""

MAX_COLOUR = 12.0
"""Levels by which their colours may differ (root mean square of both chroma channels)."""

GAINS = (0.6, 1.6)
"""Contrast of one image over that of the other."""

_COARSE = 0.55  # correlation of the details at half the size that makes refinement worth while
_WINDOW = 5  # pixels; details are what differs from the mean of such a square
_FARTHEST = 0.15  # of a side: how far an edge may move beyond the image or into it, see CROPS


def alignment(whole: np.ndarray, larger: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compare pairs of sketches.

    Args:
        whole: uint8 of shape (n, LENGTH).
        larger: uint8 of shape (n, LENGTH).
        boxes: of shape (n, 4): left, right, top and bottom of the part of `larger` that may show
            the same as `whole`, in 0-1.

    Returns:
        float of shape (n,): the correlation of details, in 0-1; 0 if it is not the same photograph.

    """
    found = np.zeros(len(whole))
    target, source = luma(whole), luma(larger)
    for _ in range(2):
        boxes = _step(_halved(source), _halved(target), boxes)
    details, *_ = _compare(_halved(source), _halved(target), boxes)
    left = np.flatnonzero(details > _COARSE)
    target, source, boxes = target[left], source[left], boxes[left]
    for _ in range(3):
        boxes = _step(source, target, boxes)
    details, correlation, gain = _compare(source, target, boxes)
    colours = _warp(chroma(larger[left]).reshape(-1, CHROMA_SIDE, CHROMA_SIDE), boxes.repeat(2, 0))
    colours = colours.reshape(-1, 2 * CHROMA_SIDE**2) * gain[:, None]
    colours -= chroma(whole[left]).reshape(colours.shape)
    same = (
        (details > MIN_DETAIL)
        & (correlation > MIN_CORRELATION)
        & (np.sqrt((colours**2).mean(1)) < MAX_COLOUR)
        & (gain > GAINS[0])
        & (gain < GAINS[1])
    )
    found[left[same]] = np.minimum(details[same], 1)
    return found


def _step(source: np.ndarray, target: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Boxes that make the parts of the source more like the target, in the least-squares sense."""
    side = target.shape[1]
    part = _warp(source, boxes)
    down, right = np.gradient(part, axis=(1, 2))
    x = ((np.arange(side) + 0.5) / side).astype(np.float32)
    y = x[:, None]
    width, height = _sizes(boxes)
    down, right = down * (side / height), right * (side / width)
    # How the part changes with its left, right, top and bottom edge; gain and offset.
    parts = (right * (1 - x), right * x, down * (1 - y), down * y, part, np.ones_like(part))
    jacobian = np.stack(parts, 1).reshape(len(part), 6, side**2)
    normal = (jacobian @ jacobian.transpose(0, 2, 1)).astype(float)
    normal += np.eye(6) * (1e-3 * normal + 1e-3)  # images without structure have no solution
    wanted = jacobian @ target.reshape(len(target), side**2, 1)
    *edges, gain, _ = np.moveaxis(np.linalg.solve(normal, wanted.astype(float))[..., 0], 1, 0)
    moves = np.stack(edges, 1) / np.maximum(gain, 0.2)[:, None]
    low, high = np.tile([-_FARTHEST, 1 - _FARTHEST], 2), np.tile([_FARTHEST, 1 + _FARTHEST], 2)
    return np.clip(boxes + np.clip(moves, -0.05, 0.05), low, high)


def _compare(
    source: np.ndarray, target: np.ndarray, boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlation of details, correlation of the images, and gain, where both images are."""
    part, side = _warp(source, boxes), target.shape[1]
    x, y = _places(boxes[:, :2], side, side), _places(boxes[:, 2:], side, side)
    inside_x, inside_y = ((p > -1) & (p < side) for p in (x, y))
    both = (inside_y[:, :, None] & inside_x[:, None, :]).astype(np.float32)
    fine = [image - uniform_filter(image, (0, _WINDOW, _WINDOW)) for image in (part, target)]
    details, _ = _correlation(fine[0], fine[1], both)
    return details, *_correlation(part, target, both)


def _correlation(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted correlation of images of shape (n, side, side), and the slope of b over a."""
    total = weight.sum((1, 2))
    a, b = (image - ((image * weight).sum((1, 2)) / total)[:, None, None] for image in (a, b))
    aa, ab, bb = ((p * q * weight).sum((1, 2)) for p, q in ((a, a), (a, b), (b, b)))
    return ab / np.sqrt(aa * bb + 1e-3), np.sqrt(bb / (aa + 1e-3))


def _warp(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Enlarge a part of each image to its own size by linear interpolation.

    Args:
        images: of shape (n, side, side).
        boxes: of shape (n, 4); beyond an edge, the edge is repeated.

    """
    for edges in (boxes[:, 2:], boxes[:, :2]):
        side = images.shape[1]
        places = np.clip(_places(edges, side, side), 0, side - 1)
        below = np.minimum(places.astype(np.intp), side - 2)
        share = (places - below).astype(np.float32)[:, :, None]
        low, high = (
            np.take_along_axis(images, index[:, :, None], 1) for index in (below, below + 1)
        )
        images = (low + (high - low) * share).transpose(0, 2, 1)
    return images


def _places(edges: np.ndarray, side: int, count: int) -> np.ndarray:
    """Where the pixels of a part lie, in pixels of the image: of shape (n, count)."""
    low, high = edges[:, :1], edges[:, 1:]
    return (low + (high - low) * (np.arange(count) + 0.5) / count) * side - 0.5


def _sizes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width and height of each box, of shape (n, 1, 1)."""
    left, right, top, bottom = boxes.astype(np.float32).T[..., None, None]
    return right - left, bottom - top


def _halved(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
