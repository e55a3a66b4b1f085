"""Charts of runs and reports: each function writes one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foodvision.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RED, _BLUE, _GREY = "#c8402f", "#2b5b84", "#8a8a8a"


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


def _figure(width: float, height: float) -> Figure:
    """A blank figure, in inches; matplotlib is imported here because most commands draw nothing."""
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width, height), layout="constrained")
