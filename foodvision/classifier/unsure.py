"""When an answer should not be trusted: it is not probable enough, or the image is unfamiliar.

What decides it lies in ``unsure.safetensors`` beside the weights: at most (D + 1) × (D + K) numbers.
`foodvision.evaluation.unsure` fits it, `Classifier` applies it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from foodvision.errors import ModelError
from foodvision.files.atomic import replacing
from foodvision.weights.tensors import read_tensors


class Unsure(nn.Module):
    """The distance of an image's features from those of the training images, and two limits.

    The squared Mahalanobis distance to the nearest class mean (Lee et al., 1807.03888):
    min_c (y − μ_c)ᵀ Σ⁻¹ (y − μ_c), where all classes share the covariance Σ.

    Attributes:
        mean: of the features, (D,); subtracted first, which keeps float32 exact.
        whitening: (D, D), a matrix A with A Aᵀ = Σ⁻¹.
        centres: (μ_c − mean) A of each class, (C, D) with C ≤ K.
        min_probability: an answer below it is not sure, in 0-1.
        max_distance: an image beyond it is unfamiliar.

    """

    mean: Tensor
    whitening: Tensor
    centres: Tensor

    def __init__(
        self,
        mean: Float[Tensor, " D"],
        whitening: Float[Tensor, "D D"],
        centres: Float[Tensor, "C D"],
        min_probability: float,
        max_distance: float,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening)
        self.register_buffer("centres", centres)
        self.min_probability, self.max_distance = min_probability, max_distance

    def forward(self, y: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """How unfamiliar each image is, from its features: the squared distance."""
        z = (y - self.mean) @ self.whitening
        squares = (z**2).sum(1, keepdim=True) + (self.centres**2).sum(1) - 2 * z @ self.centres.T
        return squares.min(dim=1).values

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            OSError: if it cannot be written.

        """
        limits = torch.tensor([self.min_probability, self.max_distance])
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.named_buffers()}
        with replacing(path) as temporary:
            temporary.touch()  # with the permissions of its siblings
            mode = temporary.stat().st_mode
            save_file(tensors | {"limits": limits}, temporary)
            temporary.chmod(mode)

    @classmethod
    def load(cls, path: Path, num_features: int, num_classes: int) -> Unsure:
        """Read what `save` wrote.

        Args:
            path: of the file.
            num_features: D of the network.
            num_classes: K of the network.

        Raises:
            ModelError: if it is damaged, or belongs to another network.

        """
        most = 4 * (num_features + 1) * (num_features + num_classes) + MAX_HEADER
        if path.is_file() and path.stat().st_size > most:
            raise ModelError(f"{path.name} is larger than {most:,} bytes; {_ADVICE}")
        tensors = read_tensors(path)
        shapes = {name: (*tensor.shape,) for name, tensor in tensors.items()}
        classes = shapes.get("centres", (0,))[0]
        expected = {
            "mean": (num_features,),
            "whitening": (num_features, num_features),
            "centres": (classes, num_features),
            "limits": (2,),
        }
        floats = all(tensor.dtype == torch.float32 for tensor in tensors.values())
        if shapes != expected or not 0 < classes <= num_classes or not floats:
            raise ModelError(f"{path.name} does not belong to this network; {_ADVICE}")
        min_probability, max_distance = tensors.pop("limits").tolist()
        if not 0 <= min_probability <= 1 or max_distance < 0:
            raise ModelError(
                f"{path.name}: the limits {min_probability:g} and {max_distance:g} must be a "
                f"probability and a squared distance; {_ADVICE}"
            )
        return cls(**tensors, min_probability=min_probability, max_distance=max_distance)


MAX_HEADER = 10_000
"""Bytes of the file that describe its tensors."""

_ADVICE = "without this file the model works, and does not say when it is not sure"
