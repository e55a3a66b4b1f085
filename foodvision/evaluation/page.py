"""The page of a report: scores, charts and image files come in, one HTML text goes out.

Only the images that the page shows are opened, after all have been scored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.classifier.info import ModelInfo
from foodvision.data.dataset import Example
from foodvision.errors import ImageError
from foodvision.evaluation.scores import ScoredImage, Scores
from foodvision.pages import data_address, render, thumbnail
from foodvision.prefetch import prefetch

MOST_WRONG, LEAST_SURE = 24, 12
"""Images in each gallery, at most."""

FEW_CLASSES = 20
"""More than these are listed from the weakest, and their confusion matrix scrolls."""

CONFUSIONS = 10
"""Pairs of classes that are listed, at most."""

THUMBNAIL = 200
"""Pixels of a thumbnail's longer side."""


def report_page(scores: Scores, charts: Mapping[str, Path]) -> str:
    """The text of report.html, self-contained.

    Args:
        scores: of one split.
        charts: PNG files by name: ``confusion``, ``reliability``, and perhaps ``curves`` of a run
            or ``penalties`` of a probe.

    Raises:
        OSError: if a chart cannot be read.

    """
    images, source = scores.images, scores.source
    wrong = [i for i, image in enumerate(images) if image.predicted != image.true]
    right = [i for i, image in enumerate(images) if image.predicted == image.true]
    wrong.sort(key=lambda i: -images[i].probability)
    right.sort(key=lambda i: images[i].probability)
    model = source.folder.resolve().name if source.folder else "Classifier"
    return render(
        "report.html",
        title=f"{model} on {scores.data}",
        scores=scores,
        uniform=math.log(len(scores.classes)),
        many=len(scores.classes) > FEW_CLASSES,
        rows=_class_rows(scores),
        confusions=_confusions(scores),
        charts={name: data_address(path.read_bytes()) for name, path in charts.items()},
        wrong=_gallery(scores, wrong[:MOST_WRONG]),
        wrong_total=len(wrong),
        unsure=_gallery(scores, right[:LEAST_SURE]),
        right_total=len(right),
        source=source,
        info=source.info,
        settings=_settings(source.info),
    )


def _class_rows(scores: Scores) -> list[dict[str, Any]]:
    """The row of each class, with None where a figure is undefined."""
    predicted = np.asarray(scores.confusion).sum(axis=0).tolist()
    rows = [
        {
            "name": name,
            "n": row["n"],
            "predicted": count,
            "precision": row["precision"] if count else None,
            "recall": row["recall"] if row["n"] else None,
            "f1": row["f1"] if count or row["n"] else None,
        }
        for (name, row), count in zip(scores.per_class.items(), predicted, strict=True)
    ]
    if len(rows) > FEW_CLASSES:
        rows.sort(key=lambda row: (row["f1"] is None, row["f1"]))
    return rows


def _confusions(scores: Scores) -> list[tuple[str, str, int]]:
    """True class, predicted class and number of images: the most frequent errors first."""
    errors = np.asarray(scores.confusion)
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [divmod(int(place), len(scores.classes)) for place in order]
    names = scores.classes
    return [(names[t], names[p], int(errors[t, p])) for t, p in pairs if errors[t, p]]


def _gallery(scores: Scores, chosen: list[int]) -> list[tuple[ScoredImage, str | None]]:
    """Images with their thumbnails; None if the file has disappeared since it was scored."""
    small = prefetch(partial(_thumbnail, side=THUMBNAIL), scores.source.images.subset(chosen), 8)
    return [(scores.images[i], address) for i, address in zip(chosen, small, strict=True)]


def _thumbnail(example: Example, side: int) -> str | None:
    try:
        return thumbnail(example.read(), side)
    except ImageError:
        return None


def _settings(info: ModelInfo) -> dict[str, Any]:
    """Of the run, without those that say nothing, and without the path of the weights."""
    return {
        key: value
        for key, value in info.recipe.items()
        if key != "weights" and value not in (None, [], "")
    }
