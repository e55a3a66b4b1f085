"""Figures 6 and 7 of any Vision Transformer: weights and images come in, numbers and PNGs go out.

Each figure is a function that returns plain data; `foodvision.paper.plots` draws them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.drawings.draw import CLASSES, SEEDS, draw_image
from foodvision.errors import ModelError
from foodvision.explanation import explain
from foodvision.images.decode import ImageSource
from foodvision.images.transforms import open_pixels, prepare
from foodvision.models.vit import ViT
from foodvision.paper.plots import (
    plot_attention,
    plot_components,
    plot_distance,
    plot_similarity,
)
from foodvision.text import printable
from foodvision.weights.source import load_pretrained

COMPONENTS = 28
"""Of the patch embedding, as in Figure 7."""

DRAWINGS = 9
"""Used if no images are given."""

ROWS = 12
"""Images in Figure 6; Figure 7 (right) uses all."""


@dataclass(frozen=True)
class Figures:
    """What was drawn.

    Attributes:
        files: PNG files.
        components: how many principal components of the patch embedding were drawn.
        components_share: their share of the variance of the filters, in 0-1.
        similarity_by_distance: mean cosine similarity of the position embeddings of patches that
            are 0, 1, 2, ... patches apart (rounded).
        attention_distance: mean attention distance in pixels, by layer and head.
        uniform_distance: that of attention to all patches alike.
        images: how many the attention was measured on.
        on_drawings: whether they were drawings, because no images were given.

    """

    files: list[Path]
    components: int
    components_share: float
    similarity_by_distance: list[float]
    attention_distance: list[list[float]]
    uniform_distance: float
    images: int
    on_drawings: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return vars(self) | {"files": [str(file) for file in self.files]}

    def lines(self) -> list[str]:
        """One sentence for each part of Figure 7."""
        first, last = (
            f"{min(heads):.0f} to {max(heads):.0f} px"
            for heads in (self.attention_distance[0], self.attention_distance[-1])
        )
        similarity = self.similarity_by_distance
        kind = "drawings, because no images were given" if self.on_drawings else "images"
        return [
            f"Figure 7 left: the first {self.components} principal components hold "
            f"{self.components_share:.0%} of the filters' variance",
            f"Figure 7 centre: position embeddings of neighbours have a cosine similarity of "
            f"{similarity[1]:.2f}, those furthest apart {similarity[-1]:.2f}"
            if len(similarity) > 1
            else "Figure 7 centre: there is only one patch",
            f"Figure 7 right: mean attention distance {first} in the first layer's heads, {last} "
            f"in the last layer's, on {self.images} {kind}; {self.uniform_distance:.0f} px is "
            "attention to all patches alike",
        ]

    def summary(self) -> str:
        """The sentences, and the files."""
        files = [f"  {file}" for file in self.files]
        return "\n".join(map(printable, [*self.lines(), *files]))


def draw_figures(
    model: str, images: Sequence[ImageSource], out: Path, device: str = "auto"
) -> Figures:
    """Draw Figure 6 and the three parts of Figure 7.

    Args:
        model: weights of a Vision Transformer; see `read_checkpoint`.
        images: what `open_image` takes; drawings if there are none.
        out: folder for the PNG files; it is made.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        ImageError: if an image cannot be opened.
        ModelError: if there are no such weights, or they are of another kind of network.

    """
    classifier = load_vit(model).to(device)
    vit: Any = classifier.network
    sources = list(images) or [
        draw_image(CLASSES[i % len(CLASSES)], SEEDS["test"][i]) for i in range(DRAWINGS)
    ]
    distance = attention_distance(classifier, sources)
    components = patch_components(vit)
    similarity = position_similarity(vit)
    out.mkdir(parents=True, exist_ok=True)
    files = [
        out / f"{name}.png"
        for name in (
            "figure6_attention",
            "figure7_left_filters",
            "figure7_centre_positions",
            "figure7_right_distance",
        )
    ]
    plot_attention([explain(classifier, source) for source in sources[:ROWS]], files[0])
    plot_components(components.filters, files[1])
    plot_similarity(similarity, files[2])
    uniform = float(_distances(vit.config.grid).mean()) * vit.config.patch_size
    plot_distance(distance, uniform, files[3])
    return Figures(
        files=files,
        components=len(components.filters),
        components_share=components.share,
        similarity_by_distance=_by_distance(similarity),
        attention_distance=distance.tolist(),
        uniform_distance=uniform,
        images=len(sources),
        on_drawings=not images,
    )


def load_vit(model: str) -> TorchClassifier:
    """The Vision Transformer of some weights, with a new head: its own classes do not matter.

    Raises:
        ModelError: if there are no such weights, or they are of another kind of network.

    """
    pretrained = load_pretrained(model, num_classes=1)
    if pretrained.network.config.family != "vit":
        raise ModelError(
            f"{model}: is {pretrained.network.config.kind}; Figures 6 and 7 are of a Vision "
            "Transformer"
        )
    return TorchClassifier(pretrained.network, pretrained.spec, ("",))


class Components(NamedTuple):
    """The first principal components of the patch embedding."""

    filters: Float[np.ndarray, "c C P P"]
    """Each of length 1, with its largest value above 0."""
    share: float
    """Of the filters' variance, in 0-1."""


def patch_components(vit: ViT, count: int = COMPONENTS) -> Components:
    """Figure 7, left: principal components of the D filters in E, each P × P pixels of C channels.

    Args:
        vit: any.
        count: at most; there are no more than D - 1, or P² C.

    """
    E = vit.embedding.E.weight.detach().cpu().double().numpy()  # a filter is a row
    _, scales, directions = np.linalg.svd(E - E.mean(axis=0), full_matrices=False)
    variances = scales**2
    count = min(count, len(E) - 1)  # the mean of the filters takes one of D directions
    filters = directions[:count]
    # The sign of a component is arbitrary: fixed, so that every machine draws the same.
    largest = np.take_along_axis(filters, np.abs(filters).argmax(axis=1)[:, None], axis=1)
    filters = filters * np.sign(largest)
    P, C = vit.config.patch_size, vit.config.num_channels
    return Components(
        filters.reshape(-1, C, P, P), float(variances[:count].sum() / variances.sum())
    )


def position_similarity(vit: ViT) -> Float[np.ndarray, "h w h w"]:
    """Figure 7, centre: cosine similarity of the position embedding of each patch with all others.

    Returns:
        The first two axes are row and column of a patch, the last two those of the other one.

    """
    rows, columns = vit.config.grid
    E_pos = vit.embedding.E_pos[0, -rows * columns :].detach().cpu().double()  # no class token
    unit = torch.nn.functional.normalize(E_pos, dim=1)
    return (unit @ unit.T).reshape(rows, columns, rows, columns).numpy()


@torch.no_grad()
def attention_distance(
    classifier: TorchClassifier, sources: Iterable[ImageSource]
) -> Float[np.ndarray, "L k"]:
    """Figure 7, right: how far each head of each layer attends, in pixels, as a mean over images.

    Args:
        classifier: with a `ViT`.
        sources: what `open_image` takes; at least one.

    """
    vit: Any = classifier.network
    distances = []
    for source in sources:  # one at a time: the maps of all layers are large
        x = prepare(open_pixels(source, classifier.spec), classifier.spec)
        A = vit.attention(x[None].to(classifier.device))[:, 0]
        distances.append(mean_distance(A, vit.config.grid, vit.config.patch_size).cpu())
    return torch.stack(distances).mean(dim=0).double().numpy()


def mean_distance(
    A: Float[Tensor, "L k n n"], grid: tuple[int, int], patch_size: int
) -> Float[Tensor, "L k"]:
    """The distance from a patch to the patches that it attends to, weighted by its attention.

    Appendix D.7: distances are those between the patches' centres, in pixels of the input, and the
    mean is over all patches that ask. The class token, which has no place, is left out on both
    sides, and the weights of the patches are divided by their sum.
    """
    N = math.prod(grid)
    A = A[..., -N:, -N:]
    shares = A / A.sum(dim=-1, keepdim=True)
    return (shares * _distances(grid).to(A) * patch_size).sum(dim=-1).mean(dim=-1)


def _distances(grid: tuple[int, int]) -> Float[Tensor, "N N"]:
    """Between the centres of any two patches, in patches."""
    rows, columns = grid
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")


def _by_distance(similarity: np.ndarray) -> list[float]:
    """The mean similarity of patches that are 0, 1, 2, ... patches apart."""
    rows, columns = similarity.shape[:2]
    apart = _distances((rows, columns)).round().long().numpy().ravel()
    sums = np.bincount(apart, weights=similarity.ravel())
    return (sums / np.bincount(apart)).tolist()
