"""Charts of runs and reports: each function writes one PNG.

Charts are narrow, with panels above each other, so that they can be read on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foodvision.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RED, _BLUE, _GREY, _PALE = "#c8402f", "#2b5b84", "#8a8a8a", "#a9c3da"
_COLOURS = (_BLUE, _RED, "#2e7d4f", "#b07d12", "#7a4a9e", "#3a8f9c")
_WIDTH = 5.4  # inches
_DPI = 120
_MAP, _OPACITY = "inferno", 0.6  # of maps that are laid over images
_FEW = 20  # classes whose cells have room for a number
_MANY = 150  # more classes have no room for names: the chart would take gigabytes of memory

Bins = Sequence[Mapping[str, float]]
"""See `foodvision.metrics.Metrics.reliability`."""


def plot_history(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot loss and accuracy on the training and the validation images, below each other.

    Args:
        history: the lines of history.jsonl: of epochs, or of the L2 penalties that a probe tried,
            which have a logarithmic axis from strong to weak. None stands for NaN.
        path: PNG file to write.

    """
    of_probe = "l2" in history[0]
    key, label = ("l2", "L2 penalty") if of_probe else ("epoch", "epoch")
    columns = ("train_loss", "log_loss", "train_accuracy", "accuracy")
    train_loss, log_loss, train_accuracy, accuracy = (
        np.array([line[column] for line in history], dtype=float) for column in columns
    )
    x = [line[key] for line in history]
    best = int(np.argmin(np.where(np.isnan(log_loss), np.inf, log_loss)))
    figure = _figure(_WIDTH, 6.2)
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    marker = "." if of_probe or len(x) == 1 else ""
    for axes, train, validation in (
        (losses, train_loss, log_loss),
        (accuracies, train_accuracy, accuracy),
    ):
        axes.plot(x, train, color=_GREY, marker=marker, label="training")
        axes.plot(x, validation, color=_RED, marker=marker, label="validation")
        found = f"best: {log_loss[best]:.3f}" if axes is losses else f"{validation[best]:.1%}"
        axes.plot(x[best], validation[best], "o", color=_RED, label=found)
        axes.legend(frameon=False)
        _open_box(axes)
    losses.set(title="Log loss (nats)" if of_probe else "Loss (nats)", ylim=(0, None))
    accuracies.set(title="Accuracy", xlabel=label)
    accuracies.yaxis.set_major_formatter("{x:.0%}")
    if of_probe:
        accuracies.set_xscale("log")
        accuracies.invert_xaxis()
    figure.savefig(path, dpi=_DPI, format="png")


def plot_reliability(after: Bins, path: Path, before: Bins | None = None) -> None:
    """Plot the accuracy of each bin of the top probability; below it, the number of images.

    Args:
        after: bars.
        path: PNG file to write.
        before: the same images before temperature scaling, as points.

    """
    figure = _figure(_WIDTH, 5.6)
    shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    lows = np.array([row["low"] for row in after])
    widths = np.array([row["high"] for row in after]) - lows
    style = {"align": "edge", "edgecolor": "white"}
    bars = [row["accuracy"] for row in after]
    shares.bar(lows, bars, widths, color=_PALE, label="accuracy", **style)
    shares.plot([0, 1], [0, 1], "--", color=_GREY, linewidth=1, label="perfectly calibrated")
    heights = [row["probability"] for row in after]
    mean = {"color": _BLUE, "markersize": 12, "label": "mean probability"}
    shares.plot(lows + widths / 2, heights, "_", **mean)
    if before:
        points = [row["probability"] for row in before], [row["accuracy"] for row in before]
        shares.plot(*points, "x", color=_RED, label="accuracy before temperature scaling")
    shares.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    # Above the axes: inside, bars may reach every corner.
    shares.legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    numbers = [int(row["n"]) for row in after]
    drawn = counts.bar(lows, numbers, widths, color=_GREY, **style)
    counts.bar_label(drawn, [f"{number:,}" for number in numbers], fontsize=7, padding=1)
    counts.set(xlabel="probability of the predicted class", ylabel="images")
    counts.margins(y=0.2)
    for axes in (shares, counts):
        _open_box(axes)
    figure.savefig(path, dpi=_DPI, format="png")


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
        _open_box(axes)
    figure.savefig(path, dpi=120)


def plot_stages(names: Sequence[str], stages: Mapping[str, Sequence[float]], path: Path) -> None:
    """Plot one bar for each name, made of the milliseconds of its stages.

    Args:
        names: of the bars, from top to bottom.
        stages: the milliseconds of each stage, for each bar; 0 leaves it out.
        path: PNG file to write.

    """
    figure = _figure(_WIDTH, 1.2 + 0.35 * len(names))
    axes = figure.subplots()
    rows, starts = np.arange(len(names)), np.zeros(len(names))
    for (stage, milliseconds), colour in zip(stages.items(), _COLOURS, strict=False):
        axes.barh(rows, milliseconds, left=starts, color=colour, label=stage)
        starts += np.array(milliseconds)
    for row, total in enumerate(starts):
        axes.annotate(f"{total:.3g}", (total, row), (3, 0), textcoords="offset points", va="center")
    axes.set_yticks(rows, [printable(name).replace("$", r"\$") for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds per image, median of each stage")
    axes.margins(x=0.12)
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    _open_box(axes)
    figure.savefig(path, dpi=_DPI, format="png")


def plot_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix: colours show the share of each true class, numbers count images.

    Args:
        confusion: images by true class (row) and predicted class (column).
        classes: names, in the order of rows and columns; not written if they are more than 150.
        path: PNG file to write.

    """
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(classes) <= _FEW
    many = len(classes) > _MANY
    side = max(4.5, 0.4 * len(classes) + 2) if few else 10 if many else 0.15 * len(classes) + 2
    figure = _figure(side, side)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Reds", vmin=0, vmax=1)
    size, ticks = 10 if few else 7, range(len(classes))
    names = [printable(name).replace("$", r"\$") for name in classes]  # $ would begin a formula
    rotation: dict[str, Any] = {"rotation": 45, "ha": "right"} if few else {"rotation": 90}
    if many:
        axes.set(xticks=[], yticks=[])
    else:
        axes.set_xticks(ticks, names, fontsize=size, **rotation)
        axes.set_yticks(ticks, names, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    if few:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    figure.savefig(path, dpi=_DPI, format="png")


def _open_box(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


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
            axes.imshow(place, cmap=_MAP, alpha=_OPACITY, vmin=0, vmax=1)
        axes.set_title(printable(name).replace("$", r"\$"), fontsize=9)
    figure.savefig(path, dpi=120)


def overlay(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Lay a map over an image.

    Args:
        image: uint8 RGB of shape (H, W, 3).
        places: float of shape (H, W) in 0-1.

    Returns:
        uint8 RGB of shape (H, W, 3).

    """
    from matplotlib import colormaps

    colours = 255 * colormaps[_MAP](places)[..., :3]
    return (_OPACITY * colours + (1 - _OPACITY) * image).round().astype(np.uint8)


def _figure(width: float, height: float) -> Figure:
    """A blank figure, in inches; matplotlib is imported here because most commands draw nothing."""
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width, height), layout="constrained")
