"""From an opened image to the network's input: one description for every place that needs it.

`ImageSpec` is part of a model: the same spec prepares images in evaluation, prediction and the
apps, and `TrainingTransform` adds training's random choices to it. Everything works on uint8 RGB
tensors with torchvision's antialiased resize, so that it equals transformers' `ViTImageProcessor`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from foodvision.errors import ModelError
from foodvision.images.decode import ImageSource, open_image

ResizeMode: TypeAlias = Literal["crop", "squash", "pad"]
Interpolation: TypeAlias = Literal["bilinear", "bicubic"]
AutoAugment: TypeAlias = Literal["none", "randaugment", "trivialaugment"]

# Pillow's numbers, which preprocessor_config.json uses.
_RESAMPLE: dict[str, int] = {"bilinear": 2, "bicubic": 3}
_GREY = 127  # what augmentation fills holes with


@dataclass(frozen=True)
class ImageSpec:
    """What a network's input looks like, and how an image of any size becomes one.

    Attributes:
        size: height and width of the input in pixels; one number for a square.
        resize_mode: ``crop`` scales the shorter side to `resize_size` and cuts out the centre;
            ``squash`` scales both sides, whatever happens to the shape; ``pad`` fits the whole
            image in and fills the right and the bottom with 0 (after normalisation).
        resize_size: ``crop`` only: pixels of the shorter side before the centre is cut out;
            None for the larger side of `size`.
        interpolation: of the antialiased resize.
        mean: of each channel, for values in 0-1. The paper's code uses 0.5.
        std: of each channel, likewise.
        reduced_decode: let a JPEG be decoded at a smaller scale while its sides stay at least
            twice the resize target. Faster, and not quite the same pixels: hence part of a model.

    Raises:
        ValueError: on a size or a mode that is none.

    """

    size: int | tuple[int, int]
    resize_mode: ResizeMode = "crop"
    resize_size: int | None = None
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    reduced_decode: bool = False

    def __post_init__(self) -> None:
        if self.resize_mode not in ("crop", "squash", "pad"):
            raise ValueError(f"resize_mode is crop, squash or pad, not {self.resize_mode!r}")
        if self.interpolation not in _RESAMPLE:
            raise ValueError(f"interpolation is bilinear or bicubic, not {self.interpolation!r}")
        if min(self.height, self.width) < 1:
            raise ValueError(f"size must be positive, not {self.size}")
        if self.resize_mode != "crop" and self.resize_size is not None:
            raise ValueError("resize_size belongs to resize_mode crop")
        if self.resize_size is not None and self.resize_size < max(self.height, self.width):
            raise ValueError(f"resize_size {self.resize_size} is smaller than size {self.size}")

    @property
    def height(self) -> int:
        """Pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]

    def at(self, size: int | tuple[int, int]) -> ImageSpec:
        """The same at another size in pixels; `resize_size` grows or shrinks with it."""
        new = ImageSpec(size)
        ratio = max(new.height, new.width) / max(self.height, self.width)
        resize_size = self.resize_size and round(self.resize_size * ratio)
        return replace(self, size=size, resize_size=resize_size)

    def open(self, source: ImageSource) -> UInt8[Tensor, "3 h w"]:
        """Open an image at the resolution this spec asks for; raises `ImageError`."""
        target = max(self.height, self.width, self.resize_size or 0)
        image = open_image(source, min_side=2 * target if self.reduced_decode else None)
        # np.array copies: torch wants memory that it may write to.
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def prepare(self, image: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "3 H W"]:
        """The evaluation transform: resize as `resize_mode` says, then normalise."""
        return self.finish(self.view(image))

    def view(self, image: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 H W"]:
        """What evaluation sees of an image, for `finish`; smaller only for ``pad``."""
        resized = self.resize(image, *self.resized_size(*image.shape[-2:]))
        if self.resize_mode == "crop":
            return center_crop(resized, self.height, self.width)
        return resized

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which an image is scaled, before it is cropped or padded.

        Rounds down as transformers does (`get_resize_output_image_size` for ``crop``,
        `get_image_size_for_max_height_width` for ``pad``), but never to nothing.
        """
        if self.resize_mode == "squash":
            return self.height, self.width
        if self.resize_mode == "pad":
            scale = min(self.height / height, self.width / width)
            return max(1, int(height * scale)), max(1, int(width * scale))
        short = self.resize_size or max(self.height, self.width)
        long = int(short * max(height, width) / min(height, width))
        return (long, short) if width <= height else (short, long)

    def resize(self, image: UInt8[Tensor, "3 h w"], height: int, width: int) -> Tensor:
        """Scale to exactly this height and width, antialiased."""
        mode = InterpolationMode(self.interpolation)
        return F.resize(image, [height, width], interpolation=mode, antialias=True)

    def finish(self, image: UInt8[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 H W"]:
        """Normalise, and pad what is smaller than the input on the right and the bottom.

        Of a whole batch, on whatever device it is, or of one image.
        """
        # Scale and normalisation in one step, as transformers' fused arithmetic has it.
        mean = (torch.tensor(self.mean) * 255).tolist()
        std = (torch.tensor(self.std) * 255).tolist()
        pixels = F.normalize(image.to(torch.float32), mean, std)
        height, width = pixels.shape[-2:]
        return F.pad(pixels, [0, 0, self.width - width, self.height - height])

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for config.json; `ImageSpec(**...)` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageSpec:
        """Read what `to_dict` gave and JSON returned (tuples as lists)."""
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**plain)

    def to_preprocessor_config(self) -> dict[str, Any]:
        """The same steps as a `ViTImageProcessor`, for preprocessor_config.json."""
        exact = {"height": self.height, "width": self.width}
        config: dict[str, Any] = {
            "image_processor_type": "ViTImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": exact,
            "resample": _RESAMPLE[self.interpolation],
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        if self.resize_mode == "crop":
            short = self.resize_size or max(self.height, self.width)
            config |= {"size": {"shortest_edge": short}, "do_center_crop": True, "crop_size": exact}
        if self.resize_mode == "pad":
            fit = {"max_height": self.height, "max_width": self.width}
            config |= {"size": fit, "do_pad": True, "pad_size": exact}
        return config

    @classmethod
    def from_preprocessor_config(cls, config: dict[str, Any]) -> ImageSpec:
        """Read a `ViTImageProcessor` that transformers wrote.

        Raises:
            ModelError: naming the value that has no counterpart here.

        """
        if not config.get("do_resize", True) or not config.get("do_rescale", True):
            raise ModelError("preprocessor_config.json: do_resize and do_rescale must be true")
        if abs(config.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-9:
            raise ModelError("preprocessor_config.json: rescale_factor must be 1/255")
        resample = config.get("resample", _RESAMPLE["bilinear"])
        interpolation = {number: name for name, number in _RESAMPLE.items()}.get(resample)
        if interpolation is None:
            raise ModelError(f"preprocessor_config.json: resample {resample} is not supported")
        normalise = config.get("do_normalize", True)
        common: dict[str, Any] = {
            "interpolation": interpolation,
            "mean": tuple(config.get("image_mean", (0.5,) * 3)) if normalise else (0.0,) * 3,
            "std": tuple(config.get("image_std", (0.5,) * 3)) if normalise else (1.0,) * 3,
        }
        size = config.get("size", 224)
        if isinstance(size, int):
            size = {"height": size, "width": size}
        if config.get("do_center_crop") and "shortest_edge" in size:
            crop = config.get("crop_size", 224)
            crop = (crop, crop) if isinstance(crop, int) else (crop["height"], crop["width"])
            return cls(_square(crop), "crop", size["shortest_edge"], **common)
        if config.get("do_pad") and "max_height" in size:
            return cls(_square((size["max_height"], size["max_width"])), "pad", **common)
        if "height" in size and not config.get("do_center_crop"):
            return cls(_square((size["height"], size["width"])), "squash", **common)
        raise ModelError(f"preprocessor_config.json: size {size} is not supported")


def _square(size: tuple[int, int]) -> int | tuple[int, int]:
    return size[0] if size[0] == size[1] else size


def center_crop(image: UInt8[Tensor, "3 h w"], height: int, width: int) -> UInt8[Tensor, "3 H W"]:
    """Cut out the centre, its corner at ``int(d / 2)`` as transformers has it.

    torchvision's `CenterCrop` rounds d / 2 to the even neighbour instead: one pixel further at
    d = 3, 7, 11, ...
    """
    top = int((image.shape[-2] - height) / 2)
    left = int((image.shape[-1] - width) / 2)
    return F.crop(image, top, left, height, width)


@dataclass(frozen=True)
class TrainingTransform:
    """`ImageSpec` with training's random choices: region, flip, augmentation, erasing.

    Draws from torch's default generator: the caller seeds it per sample.

    Attributes:
        spec: what the network's input looks like.
        min_area: the smallest share of the image that the random region may keep, in 0-1.
            The region has the input's shape for ``crop``, else the image's own (each stretched
            by up to 4/3): training and evaluation distort alike. 1 is `ImageSpec.view`.
        flip: probability of a horizontal flip, in 0-1.
        auto_augment: which published policy of random colour and shape changes, if any.
        magnitude: of RandAugment's changes, 0-30 (Cubuk et al., 1909.13719).
        erasing: probability of erasing a random rectangle, in 0-1 (Zhong et al., 1708.04896).

    """

    spec: ImageSpec
    min_area: float = 0.35
    flip: float = 0.5
    auto_augment: AutoAugment = "none"
    magnitude: int = 9
    erasing: float = 0.0

    def __call__(self, image: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 H W"]:
        """One random view of the image, for `ImageSpec.finish`; smaller only for ``pad``."""
        view = self._region(image)
        if torch.rand(()) < self.flip:
            view = F.horizontal_flip(view)
        if self.auto_augment == "randaugment":
            view = v2.RandAugment(magnitude=self.magnitude, fill=_GREY)(view)
        elif self.auto_augment == "trivialaugment":
            view = v2.TrivialAugmentWide(fill=_GREY)(view)
        return v2.RandomErasing(p=self.erasing, value=_GREY)(view) if self.erasing else view

    def _region(self, image: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 H W"]:
        spec, (height, width) = self.spec, image.shape[-2:]
        if self.min_area == 1:
            return spec.view(image)
        ratio = spec.width / spec.height if spec.resize_mode == "crop" else width / height
        top, left, h, w = v2.RandomResizedCrop.get_params(
            image, scale=[self.min_area, 1.0], ratio=[ratio * 3 / 4, ratio * 4 / 3]
        )
        region = F.crop(image, top, left, h, w)
        target = spec.resized_size(h, w) if spec.resize_mode == "pad" else (spec.height, spec.width)
        return spec.resize(region, *target)
