"""When an answer should not be trusted: it is not probable enough, or the image is unfamiliar.

What decides it lies in ``unsure.safetensors`` beside the weights: D × (m + 1) + 3 numbers, m ≤ D.
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
    """How unfamiliar an image is (ViM, Wang et al., 2203.10807), and two limits.

    ViM weighs what the head does not see against what it says: the length of the features outside
    the subspace in which training images vary, minus the energy of the logits. They are centred
    first, because softmax does not see what is added to all of them.

    Attributes:
        origin: the features for which all logits are equal, (D,).
        principal: orthonormal columns that span the subspace, (D, m).
        scale: of the length, so that it is comparable to logits.
        min_probability: an answer below it is not sure, in 0-1.
        max_distance: an image beyond it is unfamiliar.

    """

    origin: Tensor
    principal: Tensor

    def __init__(
        self,
        origin: Float[Tensor, " D"],
        principal: Float[Tensor, "D m"],
        scale: float,
        min_probability: float = 0.0,
        max_distance: float = float("inf"),
    ) -> None:
        super().__init__()
        self.register_buffer("origin", origin)
        self.register_buffer("principal", principal)
        self.scale = scale
        self.min_probability, self.max_distance = min_probability, max_distance

    def forward(self, y: Float[Tensor, "B D"], logits: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """How unfamiliar each image is, from its features and logits in float32."""
        z = y - self.origin
        outside = z - z @ self.principal @ self.principal.T
        energy = (logits - logits.mean(dim=1, keepdim=True)).logsumexp(dim=1)
        return self.scale * outside.norm(dim=1) - energy

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the file.

        Args:
            path: of the file.
            metadata: one entry for its header (the order of several would be random).

        Raises:
            OSError: if it cannot be written.

        """
        numbers = torch.tensor([self.scale, self.min_probability, self.max_distance])
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.named_buffers()}
        with replacing(path) as temporary:
            temporary.touch()  # with the permissions of its siblings; save_file allows the owner
            mode = temporary.stat().st_mode
            save_file(tensors | {"numbers": numbers}, temporary, metadata)
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
        D, most = num_features, (num_features + 1) * (num_features + num_classes)
        if path.is_file() and path.stat().st_size > 4 * most + _MAX_HEADER:
            raise ModelError(f"{path.name} is larger than {most:,} numbers; {_ADVICE}")
        tensors = read_tensors(path)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        m = shapes.get("principal", (0, 0))[-1:]
        expected = {"origin": (D,), "principal": (D, *m), "numbers": (3,)}
        floats = all(tensor.dtype == torch.float32 for tensor in tensors.values())
        if shapes != expected or not 1 <= m[0] <= D or not floats:
            raise ModelError(f"{path.name} does not belong to this network; {_ADVICE}")
        scale, min_probability, max_distance = tensors.pop("numbers").tolist()
        if scale < 0 or not 0 <= min_probability <= 1:
            raise ModelError(
                f"{path.name}: the scale {scale:g} must not be negative, and the probability "
                f"{min_probability:g} must be in 0-1; {_ADVICE}"
            )
        return cls(tensors["origin"], tensors["principal"], scale, min_probability, max_distance)


_MAX_HEADER = 10_000
"""Bytes of the file that describe its tensors."""

_ADVICE = "without this file the model works, but does not say when it is not sure"
