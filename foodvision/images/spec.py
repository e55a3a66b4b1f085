"""What a network's input looks like, as plain data.

`ImageSpec` is part of a model: the same spec prepares images in training, evaluation, prediction
and the apps. It is written into config.json and, as a `ViTImageProcessor` of transformers, into
preprocessor_config.json. `images.transforms` applies it; nothing here needs torch.
"""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from foodvision.bounds import check_number, check_sides, check_whole

ResizeMode: TypeAlias = Literal["crop", "squash", "pad"]
Interpolation: TypeAlias = Literal["bilinear", "bicubic"]

# Pillow's numbers, which preprocessor_config.json uses.
_RESAMPLE: dict[str, int] = {"bilinear": 2, "bicubic": 3}

MAX_SIDE = 2048
"""Largest height and width of a network's input, in pixels; half the largest `resize_size`."""


@dataclass(frozen=True)
class ImageSpec:
    """The input of a network, and how an image of any size becomes one.

    Attributes:
        size: height and width of the input in pixels, 1-2048; one number for a square.
        resize_mode: ``crop`` scales the shorter side to `resize_size` and cuts out the centre;
            ``squash`` scales both sides and distorts; ``pad`` fits the whole image in and
            fills the right and the bottom with 0 (after normalisation).
        resize_size: ``crop`` only: pixels of the shorter side before the crop, at most 4096; None
            for the larger side of `size`.
        interpolation: of the antialiased resize.
        mean: of R, G and B, for values in 0-1. The paper's code uses 0.5.
        std: of R, G and B, for values in 0-1; 0.001-10.
        reduced_decode: let a JPEG be decoded at a smaller scale while its sides stay at least
            twice the resize target and `resized_size` stays the same. It is faster and changes the
            pixels slightly, so it belongs to the model.

    Raises:
        ValueError: naming a value that is of the wrong type or out of bounds.

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
        if self.interpolation not in tuple(_RESAMPLE):  # it may be unhashable
            raise ValueError(f"interpolation is bilinear or bicubic, not {self.interpolation!r}")
        check_sides("size", self.size, MAX_SIDE)
        if self.resize_mode != "crop" and self.resize_size is not None:
            raise ValueError("resize_size belongs to resize_mode crop")
        if self.resize_size is not None:
            check_whole("resize_size", self.resize_size, 1, 2 * MAX_SIDE)
            if self.resize_size < max(self.height, self.width):
                raise ValueError(f"resize_size {self.resize_size} is smaller than size {self.size}")
        for name, values, low, high in (("mean", self.mean, 0, 1), ("std", self.std, 1e-3, 10)):
            if not isinstance(values, tuple) or len(values) != 3:
                raise ValueError(f"{name} must be three numbers, not {reprlib.repr(values)}")
            for value in values:
                check_number(name, value, low, high)
        if not isinstance(self.reduced_decode, bool):
            raise ValueError(f"reduced_decode must be true or false, not {self.reduced_decode!r}")

    @property
    def height(self) -> int:
        """Pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]

    def at(self, size: int | tuple[int, int]) -> ImageSpec:
        """The same spec at another size in pixels; `resize_size` is scaled with it."""
        new = ImageSpec(size)
        ratio = max(new.height, new.width) / max(self.height, self.width)
        resize_size = self.resize_size and round(self.resize_size * ratio)
        return replace(self, size=size, resize_size=resize_size)

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which an image is scaled, before it is cropped or padded.

        Rounds down as transformers does (`get_resize_output_image_size` for ``crop``,
        `get_image_size_for_max_height_width` for ``pad``), but to 1 at least.
        """
        if self.resize_mode == "squash":
            return self.height, self.width
        if self.resize_mode == "pad":
            scale = min(self.height / height, self.width / width)
            return max(1, int(height * scale)), max(1, int(width * scale))
        short = self.resize_size or max(self.height, self.width)
        long = int(short * max(height, width) / min(height, width))
        return (long, short) if width <= height else (short, long)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for config.json; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageSpec:
        """Read the values of `to_dict`, also after JSON has turned tuples into lists."""
        values = values | {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**values)

    def to_preprocessor_config(self) -> dict[str, Any]:
        """The equivalent `ViTImageProcessor`, for preprocessor_config.json."""
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
        """Read the configuration of a `ViTImageProcessor`.

        Raises:
            ValueError: naming a value that has no equivalent here.
            KeyError: if a size lacks its height or width.

        """
        if not _flag(config, "do_resize", True) or not _flag(config, "do_rescale", True):
            raise ValueError("do_resize and do_rescale must be true")
        rescale = config.get("rescale_factor", 1 / 255)
        if not isinstance(rescale, int | float) or abs(rescale - 1 / 255) > 1e-9:
            raise ValueError(f"rescale_factor must be 1/255, not {reprlib.repr(rescale)}")
        resample = config.get("resample", _RESAMPLE["bilinear"])
        if resample not in list(_RESAMPLE.values()):
            raise ValueError(f"resample {reprlib.repr(resample)} is not supported, only 2 and 3")
        normalise = _flag(config, "do_normalize", True)
        common: dict[str, Any] = {
            "interpolation": next(name for name, n in _RESAMPLE.items() if n == resample),
            "mean": _values(config, "image_mean") if normalise else (0.0,) * 3,
            "std": _values(config, "image_std") if normalise else (1.0,) * 3,
        }
        size, crop = config.get("size", 224), _flag(config, "do_center_crop", False)
        if not isinstance(size, dict):
            size = {"height": size, "width": size}
        if crop and "shortest_edge" in size:
            return cls(_size(config.get("crop_size", 224)), "crop", size["shortest_edge"], **common)
        if _flag(config, "do_pad", False) and "max_height" in size:
            return cls(_size(size, "max_"), "pad", **common)
        if "height" in size and not crop:
            return cls(_size(size), "squash", **common)
        raise ValueError(f"size {reprlib.repr(size)} is not supported")


def _values(config: dict[str, Any], name: str) -> Any:
    values = config.get(name, (0.5,) * 3)
    return tuple(values) if isinstance(values, list) else values


def _flag(config: dict[str, Any], name: str, default: bool) -> bool:
    value = config.get(name, default)
    if value not in (True, False, None):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return bool(value)


def _size(size: Any, prefix: str = "") -> int | tuple[int, int]:
    if not isinstance(size, dict):
        return size  # an integer, or refused by the check of sizes
    height, width = size[f"{prefix}height"], size[f"{prefix}width"]
    return height if height == width else (height, width)
