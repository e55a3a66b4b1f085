"""From an opened image to the network's input, as an `ImageSpec` describes it.

Everything works on uint8 RGB tensors with torchvision's antialiased resize, so that it equals
transformers' `ViTImageProcessor`. Evaluation, prediction and the apps call `prepare`; training
adds its random choices (`images.augment`) between `open_pixels` and `finish`.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from foodvision.errors import ImageError
from foodvision.images.decode import ImageSource, bands, opening, source_name
from foodvision.images.spec import ImageSpec

MAX_GROWTH = 16
"""Largest ratio of an intermediate image's pixels to the result's; resizes that would exceed it are
computed another way. The largest differences measured, on random thin images: 2 of 255 grey levels
for a crop; otherwise 1 if bilinear, and 20 if bicubic (for noise of black and white)."""


def open_pixels(source: ImageSource, spec: ImageSpec) -> UInt8[Tensor, "3 h w"]:
    """Open an image at the resolution that the spec needs.

    Raises:
        ImageError: as `open_image` does.

    """
    target = max(spec.height, spec.width, spec.resize_size or 0)
    min_side = 2 * target if spec.reduced_decode else None
    with opening(source, min_side, spec.resized_size) as image:
        try:
            pixels = np.empty((image.height, image.width, 3), np.uint8)
        except MemoryError as error:
            raise ImageError(source_name(source), "needs more memory than is free") from error
        # Four times as fast as np.array, which also holds the image twice.
        for top, band in bands(image):
            pixels[top : top + band.height] = np.asarray(band)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def prepare(pixels: UInt8[Tensor, "3 h w"], spec: ImageSpec) -> Float[Tensor, "3 H W"]:
    """The evaluation transform: resize as `spec.resize_mode` says, then normalise."""
    return finish(view(pixels, spec), spec)


def view(pixels: UInt8[Tensor, "3 h w"], spec: ImageSpec) -> UInt8[Tensor, "3 H W"]:
    """What evaluation sees of an image, for `finish`; smaller than the input only for ``pad``."""
    height, width = spec.resized_size(*pixels.shape[-2:])
    if spec.resize_mode != "crop":
        return resize(pixels, height, width, spec)
    if height * width > MAX_GROWTH * spec.height * spec.width:
        return _resized_center(pixels, height, width, spec)
    return center_crop(resize(pixels, height, width, spec), spec.height, spec.width)


def resize(
    pixels: UInt8[Tensor, "3 h w"], height: int, width: int, spec: ImageSpec
) -> UInt8[Tensor, "3 H W"]:
    """Scale to exactly this height and width, antialiased, with the spec's interpolation."""
    mode = InterpolationMode(spec.interpolation)
    old_height, old_width = pixels.shape[-2:]
    # torch resizes the width first, which would make a tall, narrow image large: height first then.
    if old_height * width > max(old_height * old_width, MAX_GROWTH * height * width):
        pixels = F.resize(pixels, [height, old_width], interpolation=mode, antialias=True)
    return F.resize(pixels, [height, width], interpolation=mode, antialias=True)


def _resized_center(
    pixels: UInt8[Tensor, "3 h w"], height: int, width: int, spec: ImageSpec
) -> UInt8[Tensor, "3 H W"]:
    """The centre of the image as it would be at `height` × `width`, without computing the rest.

    Pillow can resize a box whose edges lie between pixels, so that samples are where `resize`
    has them; values differ from its by two grey levels at most (measured, see `MAX_GROWTH`).
    """
    scale_y, scale_x = pixels.shape[-2] / height, pixels.shape[-1] / width
    top, left = int((height - spec.height) / 2), int((width - spec.width) / 2)
    first, last = top * scale_y, min((top + spec.height) * scale_y, pixels.shape[-2])
    reach = 3 * max(1.0, scale_y)  # further than any filter
    start = max(0, int(first - reach))
    strip = pixels[:, start : int(last + reach) + 1]
    image = Image.fromarray(strip.permute(1, 2, 0).numpy())
    resample = Image.Resampling[spec.interpolation.upper()]
    # One axis at a time: Pillow would choose the order, and torch always resizes the width first.
    right = min((left + spec.width) * scale_x, image.width)
    box: tuple[float, float, float, float] = (left * scale_x, 0, right, image.height)
    image = image.resize((spec.width, image.height), resample, box)
    box = (0, first - start, spec.width, last - start)
    image = image.resize((spec.width, spec.height), resample, box)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def finish(pixels: UInt8[Tensor, "*batch 3 h w"], spec: ImageSpec) -> Float[Tensor, "*batch 3 H W"]:
    """Normalise, and pad what is smaller than the input on the right and the bottom.

    Takes one image or a whole batch, on any device.
    """
    # Scaling and normalisation in one step, as in transformers, for the same rounding.
    mean = (torch.tensor(spec.mean) * 255).tolist()
    std = (torch.tensor(spec.std) * 255).tolist()
    normalised = F.normalize(pixels.to(torch.float32), mean, std)
    height, width = normalised.shape[-2:]
    return F.pad(normalised, [0, 0, spec.width - width, spec.height - height])


def center_crop(pixels: UInt8[Tensor, "3 h w"], height: int, width: int) -> UInt8[Tensor, "3 H W"]:
    """Cut out the centre, with its corner at ``int(d / 2)`` as in transformers.

    torchvision's `CenterCrop` rounds d / 2 to the even neighbour instead: one pixel further at
    d = 3, 7, 11, ...
    """
    top = int((pixels.shape[-2] - height) / 2)
    left = int((pixels.shape[-1] - width) / 2)
    return F.crop(pixels, top, left, height, width)
