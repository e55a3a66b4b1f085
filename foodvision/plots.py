"""Charts of runs and reports: each function writes one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foodvision.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RED, _BLUE, _GREY = "#c8402f", "#2b5b84", "#8a8a8a"
_COLOURS = (_BLUE, _RED, "#2e7d4f", "#b07d12", "#7a4a9e", "#3a8f9c")


def plot_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot loss and accuracy after each epoch.

    Args:
        history: the lines of history.jsonl.
        path: PNG file to write.

    """
    epochs = [line["epoch"] for line in history]
    figure = _figure(9, 3.6)
    losses, accuracies = figure.subplots(1, 2)
    for key, color, label in (
        ("train_loss", _GREY, "training loss"),
        ("log_loss", _RED, "validation log loss"),
    ):
        losses.plot(epochs, [line[key] for line in history], color=color, label=label)
    best = min(history, key=lambda line: line["log_loss"])
    label = f"best: {best['log_loss']:.3f}"
    losses.plot(best["epoch"], best["log_loss"], "o", color=_RED, label=label)
    losses.set(title="Loss (nats)", xlabel="epoch", ylim=(0, None))
    losses.legend(frameon=False)
    accuracies.plot(epochs, [line["accuracy"] for line in history], color=_BLUE)
    accuracies.set(title="Validation accuracy", xlabel="epoch", ylim=(0, 1))
    accuracies.yaxis.set_major_formatter("{x:.0%}")
    for axes in (losses, accuracies):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


class SpeedPanel(NamedTuple):
    """The classifiers on one device, a value for each in every list."""

    title: str
    names: Sequence[str]
    milliseconds: Sequence[float]
    """For one image."""
    accuracies: Sequence[float]
    intervals: Sequence[tuple[float, float]]
    """Of the accuracies, in 0-1."""
    mb: Sequence[float]
    """Size, which the area of the bubble shows."""


def plot_speed_and_quality(
    panels: Sequence[SpeedPanel], path: Path, goals: Mapping[str, float]
) -> None:
    """Plot accuracy against the time for one image, with bubbles by size.

    Args:
        panels: one for each device.
        path: PNG file to write.
        goals: ``accuracy`` and ``fps`` are drawn as dashed lines, if they are there.

    """
    figure = _figure(7.5 * len(panels), 5)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        largest = max(panel.mb)
        for i, name in enumerate(panel.names):
            x, y, (low, high) = panel.milliseconds[i], panel.accuracies[i], panel.intervals[i]
            colour = _COLOURS[i % len(_COLOURS)]
            # matplotlib's s is an area, in square points.
            axes.scatter(x, y, s=max(20, 2500 * panel.mb[i] / largest), color=colour, alpha=0.35)
            axes.errorbar(x, y, [[y - low], [high - y]], fmt="o", ms=3, color=colour, capsize=3)
            text = f"{printable(name)}, {panel.mb[i]:.3g} MB".replace("$", r"\$")
            axes.annotate(text, (x, high), (0, 5), textcoords="offset points", ha="center")
        if "accuracy" in goals:
            axes.axhline(goals["accuracy"], color=_GREY, linestyle="--", zorder=0)
        if goals.get("fps"):
            axes.axvline(1000 / goals["fps"], color=_GREY, linestyle="--", zorder=0)
        axes.set(
            title=panel.title, xlabel="milliseconds per image", ylabel="accuracy", xscale="log"
        )
        axes.margins(x=0.3, y=0.15)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def plot_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix: colours show the share of each true class, numbers count images.

    Args:
        confusion: images by true class (row) and predicted class (column).
        classes: names, in the order of rows and columns.
        path: PNG file to write.

    """
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 0.2 * len(classes) + 1.5)
    figure = _figure(side, side)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Reds", vmin=0, vmax=1)
    few = len(classes) <= 20
    size, ticks = 9 if few else 5, range(len(classes))
    names = [printable(name).replace("$", r"\$") for name in classes]  # $ would begin a formula
    axes.set_xticks(ticks, names, rotation=45 if few else 90, ha="right", fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    if few:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    figure.savefig(path, dpi=120)


def plot_explanation(
    image: np.ndarray,
    maps: Mapping[str, np.ndarray],
    heads: np.ndarray | None,
    title: str,
    path: Path,
) -> None:
    """Draw an image, maps laid over it, and the maps of a layer's heads.

    Args:
        image: uint8 RGB of shape (H, W, 3).
        maps: float of shape (H, W) in 0-1 by their titles.
        heads: float of shape (k, H, W) in 0-1, or None.
        title: above the image.
        path: PNG file to write.

    """
    named = {title: None, **maps}
    named |= (
        {f"last layer, head {i}": head for i, head in enumerate(heads, 1)}
        if heads is not None
        else {}
    )
    columns = min(4, len(named))
    rows = -(-len(named) // columns)
    figure = _figure(2.6 * columns, 2.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (name, place) in zip(grid, named.items(), strict=False):
        axes.imshow(image)
        if place is not None:
            axes.imshow(place, cmap="inferno", alpha=0.6, vmin=0, vmax=1)
        axes.set_title(printable(name).replace("$", r"\$"), fontsize=9)
    figure.savefig(path, dpi=120)


def _figure(width: float, height: float) -> Figure:
    """A blank figure, in inches; matplotlib is imported here because most commands draw nothing."""
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width, height), layout="constrained")
