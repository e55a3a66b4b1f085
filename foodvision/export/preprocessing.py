"""`images.transforms.prepare` as a part of the graph, for images of any size.

An exported graph is wrong by far as soon as somebody prepares its images in another way, so it
prepares them itself. Resizing is two matrix products whose weights are computed from the image's
height and width. ONNX's `Resize` is not used: OpenVINO ignores its `antialias`, WebGPU in the
browser refuses it, and ONNX Runtime's result differs from torch's by two grey levels.

All is computed in float32: the build of onnxruntime-web that transformers.js uses has no kernels
for float64. (The resize mode ``pad`` needs float64, and so does not run there.)
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
        h, w = (_scalar(side) for side in x.shape[-2:])
        new_h, new_w = self._resized_size(h, w)
        rows = quantised(self._weights(h, new_h, self.spec.height, x.shape[-2]))
        columns = quantised(self._weights(w, new_w, self.spec.width, x.shape[-1]))
        y = (x @ columns.T + 0.5).floor().clamp(0, 255)
        y = (rows @ y + 0.5).floor().clamp(0, 255)
        if self.spec.resize_mode == "pad":  # with what normalises to 0
            inside_rows = torch.arange(self.spec.height) < new_h
            inside = inside_rows[:, None] & (torch.arange(self.spec.width) < new_w)
            y = torch.where(inside, y, self.mean)
        return (y - self.mean) / self.std

    def _resized_size(self, h: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """`ImageSpec.resized_size` of heights and widths that only the running graph knows."""
        spec = self.spec
        if spec.resize_mode == "squash":
            return _scalar(spec.height), _scalar(spec.width)
        if spec.resize_mode == "pad":  # what it rounds to depends on float64's errors
            h, w = h.double(), w.double()
            # Tensors: torch divides a number by one through its reciprocal, which rounds twice.
            H, W = _scalar(spec.height).double(), _scalar(spec.width).double()
            scale = torch.minimum(H / h, W / w)
            new = (h * scale).floor().clamp(min=1), (w * scale).floor().clamp(min=1)
            return new[0].float(), new[1].float()
        short = _scalar(spec.resize_size or max(spec.height, spec.width))
        long = floor_divide(short * torch.maximum(h, w), torch.minimum(h, w))
        return torch.where(w <= h, long, short), torch.where(w <= h, short, long)

    def _weights(self, old: Tensor, new: Tensor, kept: int, n: int) -> Float[Tensor, "kept n"]:
        """Of the n old pixels along one axis, in each of the pixels that are kept."""
        first = ((new - kept) / 2).trunc() if self.spec.resize_mode == "crop" else _scalar(0)
        at = first + torch.arange(kept, dtype=torch.float32)
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
    pixel = torch.arange(n, dtype=at.dtype)
    # |pixel + 1/2 - (at + 1/2) old/new|, by old/new if it is above 1. Up to the division these are
    # whole numbers, which float32 has exactly: the difference of large numbers loses nothing.
    d = (2 * pixel + 1) * new - ((2 * at + 1) * old)[:, None]
    d = d.abs() / (2 * torch.maximum(old, new))
    if interpolation == "bilinear":
        weights = (1 - d).clamp(min=0)
    else:
        near, far = (1.5 * d - 2.5) * d * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
        weights = torch.where(d < 1, near, far * (d < 2))
    # Where padding will be, there is nothing to weigh.
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-9)


def quantised(weights: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """Rounded as torch does for uint8 images: the largest fits in 16 bits."""
    unit = torch.exp2(torch.log2(32767.5 / weights.max()).floor().clamp(max=22))
    return (weights * unit + 0.5 * weights.sign()).trunc() / unit


def floor_divide(a: Tensor, b: Tensor) -> Tensor:
    """Of whole numbers, exact in float32 as long as a < 2^24, however the quotient is rounded."""
    quotient = (a / b).round()
    return quotient - (quotient * b > a).to(a.dtype)


def _scalar(value: float) -> Tensor:
    return torch.scalar_tensor(value, dtype=torch.float32)
