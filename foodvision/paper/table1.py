"""Table 1 from our own networks: parameters and multiply-adds, beside what was published.

Networks are built without memory for their weights (torch's meta device), so Huge takes a second.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torchvision.models import (
    ViT_B_16_Weights,
    ViT_B_32_Weights,
    ViT_H_14_Weights,
    ViT_L_16_Weights,
    ViT_L_32_Weights,
)

from foodvision.classifier.layers import count_multiply_adds
from foodvision.evaluation.tables import Table
from foodvision.models.config import ViTConfig, parse_name
from foodvision.models.network import build_network

PAPER_PARAMETERS = {"b": 86e6, "l": 307e6, "h": 632e6}
"""Table 1's last column, by variant; it does not tell patch sizes apart."""

PUBLISHED = {
    "vit_b16": ViT_B_16_Weights.IMAGENET1K_V1,
    "vit_b32": ViT_B_32_Weights.IMAGENET1K_V1,
    "vit_l16": ViT_L_16_Weights.IMAGENET1K_V1,
    "vit_l32": ViT_L_32_Weights.IMAGENET1K_V1,
    "vit_h14": ViT_H_14_Weights.IMAGENET1K_SWAG_LINEAR_V1,
}
"""torchvision's weights for 224 px and 1,000 classes, which come with their multiply-adds."""

NOTE = (
    "For 224 px and 1,000 classes; the paper does not say with which head it counts. Multiply-adds "
    "are those of matrix products and convolutions, attention's included, for one image. The last "
    "column is what foodvision computes for the same logits: its last layer makes no token that "
    "Eq. 4 does not read."
)


@dataclass(frozen=True)
class Size:
    """One network.

    Attributes:
        model: its name, such as ``vit_b16``.
        parameters: weights.
        paper_parameters: the same as Table 1 has it, rounded to millions.
        multiply_adds: for one image, when every layer makes all tokens.
        published_multiply_adds: torchvision's figure.
        computed_multiply_adds: for one image, as `ViT` computes it.

    """

    model: str
    parameters: int
    paper_parameters: float
    multiply_adds: int
    published_multiply_adds: float
    computed_multiply_adds: int

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)


def measure_table1() -> list[Size]:
    """Count the parameters and the multiply-adds of each network in `PUBLISHED`."""
    sizes = []
    for name, weights in PUBLISHED.items():
        network: Any = build_network(ViTConfig.named(name), empty=True)
        x = torch.zeros(1, 3, *network.config.input_size, device="meta")

        def all_tokens(network: Any = network, x: torch.Tensor = x) -> torch.Tensor:
            z = network.embedding(x)
            for block in network.blocks:
                z = block(z)
            return network.head(network.norm(z)[:, 0])

        def as_computed(network: Any = network, x: torch.Tensor = x) -> torch.Tensor:
            return network.head(network.features(x))  # classify() knows no meta device

        sizes.append(
            Size(
                model=name,
                parameters=sum(weight.numel() for weight in network.parameters()),
                paper_parameters=PAPER_PARAMETERS[parse_name(name)[0]],
                multiply_adds=count_multiply_adds(all_tokens)["Global"],
                published_multiply_adds=weights.meta["_ops"] * 1e9,
                computed_multiply_adds=count_multiply_adds(as_computed)["Global"],
            )
        )
    return sizes


def table1(sizes: list[Size]) -> Table:
    """The sizes side by side, with each difference in percent."""
    rows = [
        [
            size.model,
            f"{size.parameters:,}",
            f"{size.paper_parameters / 1e6:.0f} M",
            f"{size.parameters / size.paper_parameters - 1:+.1%}",
            f"{size.multiply_adds / 1e9:.3f} G",
            f"{size.published_multiply_adds / 1e9:.3f} G",
            f"{abs(size.multiply_adds / size.published_multiply_adds - 1):.2%}",
            f"{size.computed_multiply_adds / 1e9:.3f} G",
        ]
        for size in sizes
    ]
    header = ["model", "parameters", "paper", "difference", "multiply-adds", "torchvision"]
    return Table("Table 1", [*header, "difference", "computed"], rows, NOTE)
