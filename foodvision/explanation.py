"""What a classifier looked at: attention rollout and the heads' maps of a ViT, Grad-CAM of a CNN.

An image comes in; out come the pixels that the network saw and maps over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.images.decode import ImageSource
from foodvision.images.transforms import finish, open_pixels, view


@dataclass(frozen=True)
class Explanation:
    """Where the evidence for one answer is.

    Attributes:
        image: what the network saw, uint8 RGB of shape (H, W, 3): resized and cropped as its
            `ImageSpec` says, without padding.
        map: float32 of shape (H, W) in 0-1, where 1 is the place that counts most; all 0 if no
            place speaks for the answer, which Grad-CAM can find.
        heads: the last layer's attention maps of a ViT, float32 of shape (k, H, W), each in 0-1;
            None for other networks.
        method: ``attention rollout`` or ``Grad-CAM``.
        label: the most probable class.
        probability: of that class, in 0-1.

    """

    image: UInt8[np.ndarray, "H W 3"]
    map: Float[np.ndarray, "H W"]
    heads: Float[np.ndarray, "k H W"] | None
    method: str
    label: str
    probability: float


@torch.inference_mode(False)  # Grad-CAM needs gradients, whatever the caller's mode
def explain(classifier: TorchClassifier, source: ImageSource) -> Explanation:
    """Show what the answer for an image depends on.

    For a ViT, attention rollout (arXiv 2005.00928): how much of each patch reaches the
    representation that is classified, whatever the class. For a CNN, Grad-CAM (arXiv 1610.02391):
    where the last feature map speaks for the answer. Neither proves what caused the answer.

    Args:
        classifier: any; see Raises.
        source: what `open_image` takes.

    Raises:
        ImageError: if the image cannot be opened.
        ModelError: if the network has neither attention maps that can be read nor a feature map.

    """
    pixels = view(open_pixels(source, classifier.spec), classifier.spec)
    x = finish(pixels, classifier.spec)[None].to(classifier.device)
    network: Any = classifier.network  # each family has its own way of looking inside
    heads = None
    if network.config.family == "vit":
        method = "attention rollout"
        with torch.no_grad():
            logits, A = network(x), network.attention(x)
        flow, last = attention_rollout(A), A[-1]
        if network.config.pooling == "average":
            flow, last = flow.mean(dim=1), last.mean(dim=2)
        else:  # what the class token takes from the patches; its own share has no place
            flow, last = flow[:, 0, 1:], last[:, :, 0, 1:]
        grid = network.config.grid
        coarse = flow.reshape(1, 1, *grid)
        heads = _over(pixels, last.reshape(1, -1, *grid), x)[0]
    else:
        method = "Grad-CAM"
        logits, coarse = _grad_cam(network, x)
    p = logits[0].cpu().double().softmax(dim=0)  # MPS has no float64
    best = int(p.argmax())
    return Explanation(
        image=pixels.permute(1, 2, 0).numpy(),
        map=_over(pixels, coarse, x)[0, 0],
        heads=heads,
        method=method,
        label=classifier.classes[best],
        probability=float(p[best]),
    )


def attention_rollout(A: Float[Tensor, "L B k n n"]) -> Float[Tensor, "B n n"]:
    """How much each token's output draws on each token's input, through all layers.

    arXiv 2005.00928, section 3: heads are averaged, half of each layer is its skip connection, and
    the layers are multiplied: Ã_L ⋯ Ã_1 with Ã = (A + I)/2. Every row sums to 1.
    """
    n = A.shape[-1]
    mixed = (A.mean(dim=2) + torch.eye(n, device=A.device, dtype=A.dtype)) / 2
    flow = mixed[0]
    for layer in mixed[1:]:
        flow = layer @ flow
    return flow


def _grad_cam(network: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the map ReLU(Σ_c α_c A_c) of the answer, of shape (1, 1, h, w)."""
    with torch.enable_grad():
        A, y = network.feature_map(x.requires_grad_())  # the network's weights may be frozen
        logits = network.head(y.to(network.head.weight.dtype))
        # α_c is the mean of the gradient over the map (equation 1).
        (gradient,) = torch.autograd.grad(logits[0].max(), A)
    alpha = gradient.mean(dim=(2, 3), keepdim=True)
    return logits.detach(), F.relu((alpha * A.detach()).sum(dim=1, keepdim=True))


def _over(pixels: Tensor, coarse: Tensor, x: Tensor) -> np.ndarray:
    """Maps enlarged to the input and cut to the pixels, each divided by its maximum."""
    fine = F.interpolate(coarse.float(), x.shape[-2:], mode="bilinear", align_corners=False)
    fine = fine[..., : pixels.shape[-2], : pixels.shape[-1]]
    largest = fine.amax(dim=(2, 3), keepdim=True)
    return (fine / largest.clamp_min(torch.finfo(fine.dtype).tiny)).cpu().numpy()
