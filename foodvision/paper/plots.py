"""Charts of the paper's figures: each function writes one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from foodvision.explanation import Explanation

_DPI = 120
_WIDTH = 5.4  # inches
_PAIRS = 3  # of images in a row
_BRIGHTEST = 0.98  # share of a map below full brightness
_TILES = 7  # in a row, as in Figure 7 (left)
_FEW_HEADS = 7  # in a legend; more have no room
_GREY, _COLOURS = "#8a8a8a", ("#2b5b84", "#c8402f", "#2e7d4f", "#b07d12", "#7a4a9e", "#3a8f9c")


def plot_attention(explanations: Sequence[Explanation], path: Path) -> None:
    """Draw each image, and beside it the image as bright as the attention that reaches it.

    Departs from the paper: the brightest 2 % of a map count as one. A single patch with most of the
    attention would leave the rest of the image black.

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
        bright = np.clip(found.map / max(np.quantile(found.map, _BRIGHTEST), 1e-9), 0, 1)
        grid[row, 2 * column + 1].imshow(found.image / 255 * bright[..., None])
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
    figure = _figure(0.9 * columns, 0.9 * rows + 0.25)
    axes = figure.subplots()
    axes.imshow(_mosaic(tiles, columns).squeeze(), cmap="gray", interpolation="nearest")
    axes.set_title(f"First {len(tiles)} principal components of the patch embedding", fontsize=10)
    axes.axis("off")
    figure.savefig(path, dpi=_DPI, format="png")


def plot_similarity(similarity: Float[np.ndarray, "h w h w"], path: Path) -> None:
    """Draw a tile at the place of each patch: its similarity with the patches of the whole image.

    Departs from the paper: the colours begin at the lowest similarity, not at -1. Embeddings that
    share most of their direction would be all of one colour.

    Args:
        similarity: cosines, see `foodvision.paper.figures.position_similarity`.
        path: PNG file to write.

    """
    rows, columns = similarity.shape[:2]
    tiles = similarity.reshape(rows * columns, rows, columns, 1)
    figure = _figure(7, 6)
    axes = figure.subplots()
    mosaic = _mosaic(tiles, columns)[..., 0]
    drawn = axes.imshow(mosaic, cmap="viridis", vmax=1, interpolation="nearest")
    middles = [(side + 1) * np.arange(side) + side / 2 - 0.5 for side in (columns, rows)]
    axes.set_xticks(middles[0], [str(i + 1) for i in range(columns)], fontsize=7)
    axes.set_yticks(middles[1], [str(i + 1) for i in range(rows)], fontsize=7)
    axes.set(xlabel="column of the patch", ylabel="row of the patch")
    axes.set_title("Position embedding similarity", fontsize=10)
    axes.spines[:].set_visible(False)
    figure.colorbar(drawn, label="cosine similarity", shrink=0.8)
    figure.savefig(path, dpi=_DPI, format="png")


def plot_distance(distance: Float[np.ndarray, "L k"], uniform: float, path: Path) -> None:
    """Draw one dot for each head, by layer, and a line for attention that is everywhere the same.

    Args:
        distance: mean attention distance in pixels.
        uniform: that of attention to all patches alike.
        path: PNG file to write.

    """
    figure = _figure(_WIDTH, 4)
    axes = figure.subplots()
    layers = np.arange(1, len(distance) + 1)
    few = distance.shape[1] <= _FEW_HEADS
    for head, of_head in enumerate(distance.T, 1):
        colour = _COLOURS[(head - 1) % len(_COLOURS)] if few else _COLOURS[0]
        axes.plot(
            layers,
            of_head,
            ".",
            markersize=9,
            alpha=0.7,
            color=colour,
            label=f"head {head}" if few else "one head",
        )
    axes.axhline(uniform, color=_GREY, linestyle="--", zorder=0, label="all patches alike")
    axes.set(xlabel="layer", ylabel="mean attention distance (pixels)")
    axes.set_ylim(0, 1.1 * max(uniform, float(distance.max())))
    axes.set_xticks(layers[:: max(1, len(layers) // 12)])
    handles = axes.get_legend_handles_labels()[0]
    axes.legend(handles=handles if few else [handles[0], handles[-1]], frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=_DPI, format="png")


class Panel(NamedTuple):
    """One of several charts below each other."""

    title: str
    lines: Mapping[str, Mapping[float, Sequence[float]]]
    """By name, and then by number of images: a value for each seed."""
    shares: bool
    """Whether the values are in 0-1, and are written in percent."""


def plot_by_images(panels: Sequence[Panel], label: str, path: Path) -> None:
    """Draw values against a number of images on a logarithmic axis, with 0 at its left end.

    Args:
        panels: with the same numbers of images; at least one.
        label: of the axis.
        path: PNG file to write.

    """
    numbers = sorted({x for panel in panels for line in panel.lines.values() for x in line})
    above = [x for x in numbers if x] or [1]
    zero = above[0] / 8
    figure = _figure(_WIDTH, 2.3 * len(panels) + 0.4)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    grid[-1].set_xscale("log")
    grid[-1].set_xlim(0.7 * (zero if 0 in numbers else above[0]), 1.4 * above[-1])
    for axes, panel in zip(grid, panels, strict=True):
        for i, (name, line) in enumerate(panel.lines.items()):
            colour = _COLOURS[i % len(_COLOURS)]
            means = np.array([np.mean(values) for values in line.values()])
            lows = means - [min(values) for values in line.values()]
            highs = [max(values) for values in line.values()] - means
            x = [number or zero for number in line]
            axes.errorbar(x, means, [lows, highs], fmt="o-", ms=4, color=colour, label=name)
        axes.set_title(panel.title, fontsize=10)
        axes.margins(y=0.15)
        axes.grid(axis="y", color="#e4e4e4")
        if panel.shares:
            axes.yaxis.set_major_formatter("{x:.0%}")
        axes.spines[["top", "right"]].set_visible(False)
    grid[-1].set_xticks([number or zero for number in numbers], [f"{x:,.0f}" for x in numbers])
    grid[-1].minorticks_off()
    grid[-1].set_xlabel(label.replace("$", r"\$"))  # $ would begin a formula
    grid[0].legend(frameon=False)
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
