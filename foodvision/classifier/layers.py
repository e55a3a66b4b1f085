"""A network layer by layer: torchinfo's table, with the multiply-adds that torch counts.

torchinfo counts those of a linear layer once per image, not once per token, and none of attention:
a ViT would seem a hundred times cheaper than it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchinfo
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torchinfo.enums import Units

from foodvision.classifier.torch_classifier import TorchClassifier

NOTE = (
    "Mult-adds are those of matrix products and convolutions, attention's included, for one image."
)


def layer_table(model: str | Path) -> str:
    """The layers of a model as text: shapes for one image, parameters, multiply-adds, MB.

    Args:
        model: see `Classifier.load`.

    Raises:
        ModelError: if there is no such model.

    """
    network: Any = TorchClassifier.load(model, "cpu").network
    x = torch.zeros(1, 3, *network.config.input_size)
    counts = count_multiply_adds(lambda: network(x))
    summary = torchinfo.summary(
        network,
        input_data=x,
        col_names=("input_size", "output_size", "num_params", "trainable", "mult_adds"),
        depth=3,  # levels of modules within modules
        device="cpu",
        verbose=0,
    )
    root = type(network).__name__
    paths = {id(module): f"{root}.{name}" for name, module in network.named_modules()}
    for layer in summary.summary_list:
        layer.macs = counts.get(paths.get(layer.layer_id, ""), 0)
    summary.total_mult_adds = counts["Global"]
    text = str(summary)
    for unit in Units:  # since Python 3.11, torchinfo prints "Units.MEGABYTES" for millions
        text = text.replace(f"({Units.__name__}.{unit.name})", f"({unit.value})")
    return f"{text}\n{NOTE}"


def count_multiply_adds(compute: Callable[[], object]) -> dict[str, int]:
    """The multiply-adds of a computation, by the path of each module; ``Global`` is all of them.

    Those of matrix products and convolutions, attention's included, as torchvision counts them.
    Tensors may be on the meta device: then nothing is computed.
    """
    # Attention as plain products, which torch can count.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        compute()
    return {path: sum(of.values()) // 2 for path, of in counter.get_flop_counts().items()}
