"""Images with the statistics of photographs, and copies that are nearly the same."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def photograph(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Noise whose amplitude falls with its frequency, as in photographs; each seed differs."""
    random = np.random.default_rng(seed)
    width, height = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(random.normal(size=(3, height, width))) / frequency
    pixels = np.fft.irfft2(waves, (height, width))
    pixels = 0.6 * pixels[:1] + 0.4 * pixels  # three channels that are alike
    pixels = 128 + 50 * pixels / pixels.std() + random.uniform(-30, 30, (3, 1, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def cropped(
    image: Image.Image, left: float, right: float, top: float, bottom: float
) -> Image.Image:
    """The part between these shares of the sides."""
    width, height = image.size
    box = (round(left * width), round(top * height), round(right * width), round(bottom * height))
    return image.crop(box)


def jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def write_photographs(root: Path, label: str, seeds: range) -> None:
    (root / label).mkdir(parents=True)
    for seed in seeds:
        (root / label / f"{seed:05}.jpg").write_bytes(jpeg(photograph(seed), 92))
