"""`images.transforms.prepare` as a part of the graph, for images of any size.

An exported graph is wrong by far as soon as somebody prepares its images in another way, so it
prepares them itself. Resizing is two matrix products whose weights are computed from the image's
height and width. ONNX's `Resize` is not used: OpenVINO ignores its `antialias`, WebGPU in the
browser refuses it, and ONNX Runtime's result differs from torch's by two grey levels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foodvision.images.spec import ImageSpec


class Preprocessing(nn.Module):
    """Resizes, crops or pads, and normalises RGB images as the spec says.

    Equal to `prepare` up to one grey level in few pixels: torch resizes uint8 images with weights
    of 16 bits, the width first, and rounds after each axis; so does this.
    """

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None] * 255)

    mean: Tensor
    std: Tensor

    def forward(self, x: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 3 H W"]:
        """Images of whole numbers in 0-255, all of one size, as the network's input."""
        h, w = (torch.scalar_tensor(side, dtype=torch.float64) for side in x.shape[-2:])
        new_h, new_w = self._resized_size(h, w)
        rows = quantised(self._weights(h, new_h, self.spec.height, x.shape[-2])).to(x.dtype)
        columns = quantised(self._weights(w, new_w, self.spec.width, x.shape[-1])).to(x.dtype)
        y = (x @ columns.T + 0.5).floor().clamp(0, 255)
        y = (rows @ y + 0.5).floor().clamp(0, 255)
        y = (y - self.mean) / self.std
        if self.spec.resize_mode == "pad":
            inside_rows = torch.arange(self.spec.height) < new_h
            inside = inside_rows[:, None] & (torch.arange(self.spec.width) < new_w)
            y = y * inside
        return y

    def _resized_size(self, h: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """`ImageSpec.resized_size` of heights and widths that only the running graph knows."""
        spec = self.spec
        if spec.resize_mode == "squash":
            return _scalar(spec.height), _scalar(spec.width)
        if spec.resize_mode == "pad":
            scale = torch.minimum(spec.height / h, spec.width / w)
            return (h * scale).floor().clamp(min=1), (w * scale).floor().clamp(min=1)
        short = _scalar(spec.resize_size or max(spec.height, spec.width))
        long = (short * torch.maximum(h, w) / torch.minimum(h, w)).floor()
        return torch.where(w <= h, long, short), torch.where(w <= h, short, long)

    def _weights(self, old: Tensor, new: Tensor, kept: int, n: int) -> Float[Tensor, "kept n"]:
        """Of the n old pixels along one axis, in each of the pixels that are kept."""
        first = ((new - kept) / 2).trunc() if self.spec.resize_mode == "crop" else _scalar(0)
        at = first + torch.arange(kept, dtype=torch.float64)
        return resize_weights(at, old, new, n, self.spec.interpolation)


def resize_weights(
    at: Float[Tensor, " m"], old: Tensor, new: Tensor, n: int, interpolation: str
) -> Float[Tensor, "m n"]:
    """The antialiased resize of torch along one axis, as a matrix; its rows sum to 1.

    Args:
        at: which of the new pixels, from 0.
        old: their number before, as a tensor.
        new: their number after.
        n: `old` as an integer.
        interpolation: ``bilinear`` or ``bicubic`` (with a = -0.5, as Pillow and torch have it).

    """
    scale = old / new
    centre = (at + 0.5) * scale
    pixel = torch.arange(n, dtype=torch.float64) + 0.5
    d = ((pixel - centre[:, None]) / scale.clamp(min=1)).abs()
    if interpolation == "bilinear":
        weights = (1 - d).clamp(min=0)
    else:
        near, far = (1.5 * d - 2.5) * d * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
        weights = torch.where(d < 1, near, torch.where(d < 2, far, _scalar(0)))
    # Where padding will be, there is nothing to weigh.
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-9)


def quantised(weights: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """Rounded as torch does for uint8 images: the largest fits in 16 bits."""
    unit = torch.exp2(torch.log2(32767.5 / weights.max()).floor().clamp(max=22))
    return (weights * unit + 0.5 * weights.sign()).trunc() / unit


def _scalar(value: float) -> Tensor:
    return torch.scalar_tensor(value, dtype=torch.float64)
