"""A random view of an image for training: region, flip, published augmentation, erasing.

An opened image and an `ImageSpec` come in; a uint8 view goes out, which `transforms.finish` turns
into the network's input exactly as in evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from foodvision.images.spec import ImageSpec
from foodvision.images.transforms import resize, view

_GREY = 127  # what augmentation fills holes with


@dataclass(frozen=True)
class TrainingTransform:
    """Evaluation's view with random choices: region, flip, augmentation, erasing.

    Draws from torch's default generator, which the caller seeds for each sample.

    Attributes:
        spec: the input of the network.
        min_area: the smallest share of the image that the random region may keep, in 0-1.
            The region has the input's aspect ratio for ``crop``, else the image's own, each
            stretched by up to 4/3, so that training distorts as evaluation does. 1 takes
            `transforms.view` instead.
        flip: probability of a horizontal flip, in 0-1.
        auto_augment: a published policy of random changes of colour and shape, or none.
        magnitude: of RandAugment, 0-30 (Cubuk et al., 1909.13719).
        erasing: probability of erasing a random rectangle, in 0-1 (Zhong et al., 1708.04896).

    """

    spec: ImageSpec
    min_area: float = 0.35
    flip: float = 0.5
    auto_augment: Literal["none", "randaugment", "trivialaugment"] = "none"
    magnitude: int = 9
    erasing: float = 0.0

    def __call__(self, pixels: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 H W"]:
        """One random view, for `transforms.finish`; smaller than the input only for ``pad``."""
        crop = self._region(pixels)
        if torch.rand(()) < self.flip:
            crop = F.horizontal_flip(crop)
        if self.auto_augment == "randaugment":
            crop = v2.RandAugment(magnitude=self.magnitude, fill=_GREY)(crop)
        elif self.auto_augment == "trivialaugment":
            crop = v2.TrivialAugmentWide(fill=_GREY)(crop)
        return v2.RandomErasing(p=self.erasing, value=_GREY)(crop) if self.erasing else crop

    def _region(self, pixels: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 H W"]:
        spec, (height, width) = self.spec, pixels.shape[-2:]
        if self.min_area == 1:
            return view(pixels, spec)
        ratio = spec.width / spec.height if spec.resize_mode == "crop" else width / height
        top, left, h, w = v2.RandomResizedCrop.get_params(
            pixels, scale=[self.min_area, 1.0], ratio=[ratio * 3 / 4, ratio * 4 / 3]
        )
        region = F.crop(pixels, top, left, h, w)
        target = spec.resized_size(h, w) if spec.resize_mode == "pad" else (spec.height, spec.width)
        return resize(region, *target, spec)
