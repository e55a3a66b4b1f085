"""A network layer by layer: shapes, parameters and multiply-adds, as torchinfo counts them."""

from __future__ import annotations

from pathlib import Path

import torchinfo

from foodvision.classifier.classifier import Classifier

NOTE = (
    "Multiply-adds are of layers with parameters, for one image; the products q kᵀ and A v of "
    "attention have none and are not counted."
)


def layer_table(model: str | Path, depth: int = 3) -> str:
    """The table that torchinfo prints, for a batch of one image.

    Args:
        model: see `Classifier.load`.
        depth: how many levels of modules within modules are shown.

    Raises:
        ModelError: if there is no such model.

    """
    classifier = Classifier.load(model, "cpu")
    summary = torchinfo.summary(
        classifier.network,
        input_size=(1, 3, *classifier.network.config.input_size),
        col_names=("input_size", "output_size", "num_params", "trainable", "mult_adds"),
        depth=depth,
        device="cpu",
        verbose=0,
    )
    return f"{summary}\n{NOTE}"
