"""Self-supervision: what is hidden of an image is predicted from the rest (section 4.6, B.1.2).

`MaskedViT` is the network that is pretrained, on images with or without labels, and `HiddenPatches`
says what it is trained and validated on; the loop is `loop`'s. What is kept is the network without
its head, which fine-tuning replaces.

Masked autoencoding (MAE, arXiv 2111.06377) was compared with this once, in the same time, and did
not serve small data better (docs/results.md).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from foodvision.images import ImageSpec
from foodvision.models.config import ViTConfig
from foodvision.models.vit import ViT

CORRUPTED, MASKED, REPLACED = 0.5, 0.8, 0.1
"""Share of the patches that are corrupted; of these, the shares that become [mask] and another
patch. The others stay as they are, but are predicted as well."""

LEVELS = 8
"""Of each channel: a colour of 3 × 3 bits."""

COLOURS = LEVELS**3

DEVIATION = 0.02
"""Of the noise that [mask] begins as."""


class Corruption(NamedTuple):
    """Which M of the N patches of each image are corrupted, and how."""

    places: Int[Tensor, "B M"]
    """The patches to predict, each once."""
    sources: Int[Tensor, "B M"]
    """The patch whose embedding is put there, the same or another one; −1 for [mask]."""


def hidden_of(N: int) -> int:
    """How many of the N patches of an image are corrupted, M."""
    return round(N * CORRUPTED)


def draw_corruption(images: int, N: int) -> Corruption:
    """Draw from torch's generator of the CPU, so that it is the same on every device.

    Args:
        images: B.
        N: patches of an image, at least 2.

    """
    M = hidden_of(N)
    places = torch.rand(images, N, device="cpu").argsort(dim=1)[:, :M]
    other = (places + torch.randint(1, N, (images, M), device="cpu")) % N
    fate = torch.rand(images, M, device="cpu")
    sources = torch.where(fate < MASKED + REPLACED, other, places)
    return Corruption(places, sources.masked_fill(fate < MASKED, -1))


class MaskedViT(ViT):
    """A ViT whose head predicts the colour of each corrupted patch from that patch's token.

    The paper corrupts half of the patch embeddings x_p E: 80 % become a learned [mask], 10 % that
    of another patch (here of the same image), 10 % stay. Eq. 1 then adds class token and positions.
    No output of the class token is read: as a token that patches attend to it is trained, its own
    representation y of Eq. 4 is not, and fine-tuning has to learn it.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.mask = nn.Parameter(torch.randn(config.hidden_size) * DEVIATION)

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B M K"], Int[Tensor, "B M"]]:
        """Logits of the colours of M patches, and which patches these are."""
        z = self.embedding.E(self.embedding.patches(x))
        B, N, D = z.shape
        places, sources = (part.to(x.device) for part in draw_corruption(B, N))
        new = z.gather(1, sources.clamp(min=0)[..., None].expand(-1, -1, D))
        new = torch.where((sources < 0)[..., None], self.mask.to(z.dtype), new)
        z = z.scatter(1, places[..., None].expand(-1, -1, D), new)
        z = self.embedding.sequence(z)
        for block in self.blocks:
            z = block(z)
        z = z[:, -N:].gather(1, places[..., None].expand(-1, -1, D))
        logits = self.classify(self.norm(z).flatten(0, 1))
        return logits.reshape(*places.shape, -1), places


class HiddenPatches:
    """The mean colours of corrupted patches, in place of labels: the answers are in the image.

    Attributes:
        classes: the colours: red, green and blue, each a digit from 0 to 7.

    """

    classes = tuple(f"{colour:03o}" for colour in range(COLOURS))

    def __init__(self, spec: ImageSpec, patch_size: int) -> None:
        self.spec, self.patch_size = spec, patch_size

    def targets(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The input as it is, and the colours (B, N) of all patches."""
        return pixels, patch_colours(pixels, self.spec, self.patch_size)

    def loss(
        self, answers: tuple[Tensor, Tensor], targets: Tensor, pixels: Tensor, indices: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of a training step, and its share of right colours.

        Args:
            answers: of `MaskedViT`.
            targets: colours (B, N).
            pixels: not used.
            indices: not used.

        """
        logits, places = answers
        logits, right = logits.flatten(0, 1), targets.gather(1, places).flatten()
        return F.cross_entropy(logits, right), (logits.argmax(dim=1) == right).float().mean()

    def scored(
        self, answers: tuple[Tensor, Tensor], pixels: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What validation compares: logits (B, M, K) and colours (B, M)."""
        logits, places = answers
        return logits.float(), self.targets(pixels, labels)[1].gather(1, places)


def patch_colours(
    pixels: Float[Tensor, "B 3 H W"], spec: ImageSpec, patch_size: int
) -> Int[Tensor, "B N"]:
    """The mean colour of each patch, 3 bits a channel, as one number in 0 to 511.

    Args:
        pixels: the network's input.
        spec: whose normalisation is undone.
        patch_size: P, which divides H and W.

    """
    mean, std = (torch.tensor(values).to(pixels)[:, None, None] for values in (spec.mean, spec.std))
    means = F.avg_pool2d(pixels * std + mean, patch_size).flatten(2)  # in 0-1
    red, green, blue = (means * LEVELS).long().clamp(0, LEVELS - 1).unbind(1)
    return (red * LEVELS + green) * LEVELS + blue
