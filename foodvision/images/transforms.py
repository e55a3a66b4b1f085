"""From an opened image to the network's input, as an `ImageSpec` describes it.

Everything works on uint8 RGB tensors with torchvision's antialiased resize, so that it equals
transformers' `ViTImageProcessor`. Evaluation, prediction and the apps call `prepare`; training
adds its random choices (`images.augment`) between `open_pixels` and `finish`.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from foodvision.images.decode import ImageSource, open_image
from foodvision.images.spec import ImageSpec


def open_pixels(source: ImageSource, spec: ImageSpec) -> UInt8[Tensor, "3 h w"]:
    """Open an image at the resolution that the spec needs.

    Raises:
        ImageError: as `open_image` does.

    """
    target = max(spec.height, spec.width, spec.resize_size or 0)
    image = open_image(source, min_side=2 * target if spec.reduced_decode else None)
    # np.array copies: torch wants memory that it may write to.
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def prepare(pixels: UInt8[Tensor, "3 h w"], spec: ImageSpec) -> Float[Tensor, "3 H W"]:
    """The evaluation transform: resize as `spec.resize_mode` says, then normalise."""
    return finish(view(pixels, spec), spec)


def view(pixels: UInt8[Tensor, "3 h w"], spec: ImageSpec) -> UInt8[Tensor, "3 H W"]:
    """What evaluation sees of an image, for `finish`; smaller than the input only for ``pad``."""
    resized = resize(pixels, *spec.resized_size(*pixels.shape[-2:]), spec)
    return center_crop(resized, spec.height, spec.width) if spec.resize_mode == "crop" else resized


def resize(
    pixels: UInt8[Tensor, "3 h w"], height: int, width: int, spec: ImageSpec
) -> UInt8[Tensor, "3 H W"]:
    """Scale to exactly this height and width, antialiased, with the spec's interpolation."""
    mode = InterpolationMode(spec.interpolation)
    return F.resize(pixels, [height, width], interpolation=mode, antialias=True)


def finish(pixels: UInt8[Tensor, "*batch 3 h w"], spec: ImageSpec) -> Float[Tensor, "*batch 3 H W"]:
    """Normalise, and pad what is smaller than the input on the right and the bottom.

    Takes one image or a whole batch, on any device.
    """
    # Scale and normalisation in one step, as transformers' fused arithmetic has it.
    mean = (torch.tensor(spec.mean) * 255).tolist()
    std = (torch.tensor(spec.std) * 255).tolist()
    normalised = F.normalize(pixels.to(torch.float32), mean, std)
    height, width = normalised.shape[-2:]
    return F.pad(normalised, [0, 0, spec.width - width, spec.height - height])


def center_crop(pixels: UInt8[Tensor, "3 h w"], height: int, width: int) -> UInt8[Tensor, "3 H W"]:
    """Cut out the centre, its corner at ``int(d / 2)`` as transformers has it.

    torchvision's `CenterCrop` rounds d / 2 to the even neighbour instead: one pixel further at
    d = 3, 7, 11, ...
    """
    top = int((pixels.shape[-2] - height) / 2)
    left = int((pixels.shape[-1] - width) / 2)
    return F.crop(pixels, top, left, height, width)
