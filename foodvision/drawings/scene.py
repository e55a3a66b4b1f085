"""The canvas of a drawing: objects are laid on it one by one, then it is photographed.

Every random choice of a drawing comes from the scene's generator, so the order of calls matters:
it determines the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageFilter

from foodvision.drawings.colours import COLOURS, ramp
from foodvision.drawings.outlines import Array, Shape
from foodvision.drawings.textures import cloud_texture, grain_texture

SIDE = 96  # pixels

Point: TypeAlias = tuple[float, float]

Paint: TypeAlias = Callable[[Array, Array, Array], Array]
"""x, y and the distance to the outline, as for `Shape` → RGB, roughly 0-1."""


class Scene:
    """An image of `SIDE` × `SIDE` pixels, lit by one lamp in a random direction."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pixels = np.zeros((SIDE, SIDE, 3), np.float32)
        turn = rng.uniform(0, 2 * math.pi)
        self.light = math.cos(turn), math.sin(turn)  # towards the lamp

    def lay(
        self,
        shape: Shape,
        at: Point,
        reach: float,
        paint: Paint | Array,
        turn: float = 0.0,
        height: float = 1.5,
    ) -> None:
        """Draw one object: its shadow, its colours, the light along its edge.

        Args:
            shape: its outline.
            at: position of its centre, in pixels.
            reach: largest distance of any part from the centre, in pixels.
            paint: its colours, or a single colour.
            turn: clockwise rotation in radians.
            height: length of its shadow, in pixels.

        """
        span = reach + height + 2
        x0, x1 = max(0, int(at[0] - span)), min(SIDE, int(at[0] + span) + 1)
        y0, y1 = max(0, int(at[1] - span)), min(SIDE, int(at[1] + span) + 1)
        if x0 >= x1 or y0 >= y1:
            return  # out of the frame
        across = np.arange(x0, x1, dtype=np.float32) - np.float32(at[0])
        down = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(at[1])
        cos, sin = math.cos(turn), math.sin(turn)
        x, y = cos * across + sin * down, cos * down - sin * across
        away_x = height * (cos * self.light[0] + sin * self.light[1])
        away_y = height * (cos * self.light[1] - sin * self.light[0])
        distance = shape(x, y)
        towards_light = shape(x + away_x, y + away_y)

        below = self.pixels[y0:y1, x0:x1]
        below *= 1 - 0.5 * ramp(0.5 - towards_light / (1.5 * height))[..., None]
        colour = paint(x, y, distance) if callable(paint) else paint
        slope = (towards_light - distance) / height  # 1 faces the lamp, -1 looks away
        glow = 0.4 * slope * np.exp(np.minimum(distance, 0) / (0.7 + 0.7 * height))
        below += ramp(0.5 - distance)[..., None] * (colour * (1 + glow)[..., None] - below)

    def clouds(self, x: Array, y: Array, cell: float, stretch: float = 1.0) -> Array:
        """Smooth noise, roughly −1 to 1: bumps `cell` pixels wide and `stretch` times as long."""
        return self._look_up(cloud_texture(), x * (16 / cell / stretch), y * (16 / cell))

    def grains(self, x: Array, y: Array, cell: float) -> Array:
        """Brightness of rice grains about `cell` pixels wide: 0.3 in the gaps to 1 on top."""
        return self._look_up(grain_texture(), x * (8 / cell), y * (8 / cell))

    def _look_up(self, texture: Array, x: Array, y: Array) -> Array:
        row, column = self.rng.integers(0, len(texture), 2)
        wrap = len(texture) - 1
        return texture[(y + row).astype(np.int32) & wrap, (x + column).astype(np.int32) & wrap]

    def pick(self, names: str, unlike: Array | None = None) -> Array:
        """A random variation of one of the named colours, clearly different from `unlike`."""
        choices = names.split()
        for _ in range(8):
            colour = COLOURS[choices[self.rng.integers(len(choices))]]
            colour = colour * self.rng.uniform(0.8, 1.15) + self.rng.normal(0, 0.03, 3)
            if unlike is None or np.abs(colour - unlike).sum() > 0.7:
                break
        return np.clip(colour, 0.03, 1).astype(np.float32)

    def near(self, at: Point, x: float, y: float, turn: float) -> Point:
        """Image position of the point x, y of an object that lies at `at`, rotated by `turn`."""
        cos, sin = math.cos(turn), math.sin(turn)
        return at[0] + cos * x - sin * y, at[1] + sin * x + cos * y

    def photograph(self) -> Image.Image:
        """The finished RGB image: light falling off, exposure, noise, slight blur."""
        rng = self.rng
        place = np.linspace(-1, 1, SIDE, dtype=np.float32)
        lit = 1 + rng.uniform(0, 0.4) * (self.light[0] * place + self.light[1] * place[:, None])
        pixels = self.pixels * lit[..., None] * np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
        # Automatic exposure and white balance remove the mean colour of the class.
        mean = pixels.mean((0, 1))
        grey = mean.mean()
        pixels *= rng.uniform(0.4, 0.6) / (mean**0.9 * grey**0.1)
        pixels = pixels / (1 + pixels**4) ** 0.25
        pixels += rng.uniform(0, 0.02) * rng.standard_normal((SIDE, SIDE, 1), np.float32)
        image = Image.fromarray((255 * ramp(pixels)).astype(np.uint8))
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.5)))
