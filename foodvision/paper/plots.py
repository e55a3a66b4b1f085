"""Charts of the paper's figures: each function writes one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from foodvision.explanation import Explanation

_DPI = 120
_PAIRS = 3  # of images in a row
_TILES = 7  # in a row, as in Figure 7 (left)
_FEW_HEADS = 7  # in a legend; more have no room


def plot_attention(explanations: Sequence[Explanation], path: Path) -> None:
    """Draw each image, and beside it the image as bright as the attention that reaches it.

    Args:
        explanations: of a ViT, by attention rollout; at least one.
        path: PNG file to write.

    """
    pairs = min(_PAIRS, len(explanations))
    rows = -(-len(explanations) // pairs)
    figure = _figure(3.6 * pairs, 1.8 * rows + 0.3)
    grid = figure.subplots(rows, 2 * pairs, squeeze=False)
    for axes in grid.ravel():
        axes.axis("off")
    for i, found in enumerate(explanations):
        row, column = divmod(i, pairs)
        grid[row, 2 * column].imshow(found.image)
        grid[row, 2 * column + 1].imshow(found.image / 255 * found.map[..., None])
    for column in range(pairs):
        grid[0, 2 * column].set_title("input", fontsize=9)
        grid[0, 2 * column + 1].set_title("attention", fontsize=9)
    figure.savefig(path, dpi=_DPI, format="png")


def plot_components(filters: Float[np.ndarray, "c C P P"], path: Path) -> None:
    """Draw components of the patch embedding: as RGB images, or the first channel in grey.

    Args:
        filters: each is scaled to its own smallest and largest value.
        path: PNG file to write.

    """
    channels = 3 if filters.shape[1] == 3 else 1
    tiles = filters[:, :channels].transpose(0, 2, 3, 1)
    low, high = (edge(tiles, axis=(1, 2, 3), keepdims=True) for edge in (np.min, np.max))
    tiles = (tiles - low) / np.maximum(high - low, np.finfo(tiles.dtype).tiny)
    columns = min(_TILES, len(tiles))
    rows = -(-len(tiles) // columns)
    figure = _figure(0.9 * columns, 0.9 * rows + 0.4)
    axes = figure.subplots()
    axes.imshow(_mosaic(tiles, columns).squeeze(), cmap="gray", interpolation="nearest")
    axes.set_title(f"First {len(tiles)} principal components of the patch embedding", fontsize=10)
    axes.axis("off")
    figure.savefig(path, dpi=_DPI, format="png")


def plot_similarity(similarity: Float[np.ndarray, "h w h w"], path: Path) -> None:
    """Draw a tile at the place of each patch: its similarity with the patches of the whole image.

    Args:
        similarity: cosines, see `foodvision.paper.figures.position_similarity`.
        path: PNG file to write.

    """
    rows, columns = similarity.shape[:2]
    tiles = similarity.reshape(rows * columns, rows, columns, 1)
    figure = _figure(7, 6)
    axes = figure.subplots()
    mosaic = _mosaic(tiles, columns)[..., 0]
    drawn = axes.imshow(mosaic, cmap="viridis", vmin=-1, vmax=1, interpolation="nearest")
    middles = [(side + 1) * np.arange(side) + side / 2 - 0.5 for side in (columns, rows)]
    axes.set_xticks(middles[0], [str(i + 1) for i in range(columns)], fontsize=7)
    axes.set_yticks(middles[1], [str(i + 1) for i in range(rows)], fontsize=7)
    axes.set(xlabel="column of the patch", ylabel="row of the patch")
    axes.set_title("Position embedding similarity", fontsize=10)
    figure.colorbar(drawn, label="cosine similarity")
    figure.savefig(path, dpi=_DPI, format="png")


def plot_distance(distance: Float[np.ndarray, "L k"], uniform: float, path: Path) -> None:
    """Draw one dot for each head, by layer, and a line for attention that is everywhere the same.

    Args:
        distance: mean attention distance in pixels.
        uniform: that of attention to all patches alike.
        path: PNG file to write.

    """
    figure = _figure(5.4, 4)
    axes = figure.subplots()
    layers = np.arange(1, len(distance) + 1)
    for head, of_head in enumerate(distance.T, 1):
        axes.plot(layers, of_head, ".", markersize=9, label=f"head {head}")
    axes.axhline(uniform, color="#8a8a8a", linestyle="--", zorder=0, label="all patches alike")
    axes.set(xlabel="layer", ylabel="mean attention distance (pixels)")
    axes.set_ylim(0, 1.1 * max(uniform, float(distance.max())))
    axes.set_xticks(layers[:: max(1, len(layers) // 12)])
    handles = axes.get_legend_handles_labels()[0]
    axes.legend(handles=handles if len(handles) <= _FEW_HEADS else handles[-1:], frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=_DPI, format="png")


def _mosaic(tiles: Float[np.ndarray, "t h w C"], columns: int) -> Float[np.ndarray, "H W C"]:
    """Tiles side by side, row by row, with gaps of one (NaN is drawn as white)."""
    count, height, width, channels = tiles.shape
    rows = -(-count // columns)
    gap = np.nan if channels == 1 else 1.0
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), gap)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _figure(width: float, height: float) -> Figure:
    """A blank figure, in inches; matplotlib is imported here because most commands draw nothing."""
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width, height), layout="constrained")
