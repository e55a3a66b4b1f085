"""The canvas of a drawing: a table is set, objects are laid on it, then it is photographed.

Every random choice of a drawing comes from the scene's generator, so the order of calls matters:
it determines the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageFilter

from foodvision.drawings.outlines import Array, Shape, box, capsule, disc, leaf

SIDE = 96  # pixels

COLOURS = {
    name: np.array(rgb, np.float32) / 255
    for name, rgb in {
        "white": (240, 238, 230),
        "cream": (238, 224, 192),
        "butter": (242, 206, 110),
        "cheddar": (236, 158, 52),
        "salmon": (242, 132, 88),
        "pink": (232, 160, 158),
        "raw": (178, 58, 62),
        "tomato": (200, 44, 34),
        "plum": (92, 44, 78),
        "tan": (204, 158, 104),
        "brown": (126, 74, 42),
        "seared": (82, 48, 32),
        "charcoal": (42, 38, 38),
        "nori": (26, 40, 34),
        "herb": (58, 108, 44),
        "pesto": (124, 142, 52),
        "avocado": (166, 186, 92),
        "blue": (110, 150, 184),
        "slate": (84, 94, 104),
    }.items()
}
ANY = " ".join(COLOURS)
TABLE = "tan brown slate blue charcoal cream herb tomato"
PLATE = "white cream blue slate charcoal tan brown"

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
        return self._look_up(_cloud_texture(), x * (16 / cell / stretch), y * (16 / cell))

    def grains(self, x: Array, y: Array) -> Array:
        """Brightness of rice grains about 3 pixels wide: 0.3 in the gaps to 1 on top."""
        return self._look_up(_grain_texture(), x * (8 / 3), y * (8 / 3))

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


def set_table(scene: Scene, at: Point, size: float) -> None:
    """Draw a table, clutter near the edge of the image, and a plate for food of radius `size`."""
    rng = scene.rng
    wood = scene.pick(TABLE)
    other = scene.pick(TABLE)
    cell, stretch = rng.uniform(8, 40), rng.choice([1.0, 1.0, 6.0])

    def table(x: Array, y: Array, _: Array) -> Array:
        return mix(wood, 0.75 * wood + 0.25 * other, 0.5 + 0.5 * scene.clouds(x, y, cell, stretch))

    scene.lay(disc(2 * SIDE), (SIDE / 2, SIDE / 2), SIDE, table, rng.uniform(0, 6.3), 0.1)
    for _ in range(rng.integers(0, 3)):
        _drop_clutter(scene)
    plate = scene.pick(PLATE)
    rim = scene.pick(PLATE) if rng.random() < 0.3 else plate
    reach = size * rng.uniform(1.02, 1.25)
    if rng.random() < 0.6:
        shape = disc(reach)
    else:
        shape = box(reach, reach * rng.uniform(0.75, 1), rng.uniform(1, 8))

    def paint(x: Array, y: Array, distance: Array) -> Array:
        well = ramp(0.5 + distance + reach * 0.14)
        line = np.exp(-np.square(distance + reach * 0.14))
        return mix(plate, rim, well) * (1 - 0.2 * line)[..., None]

    scene.lay(shape, at, reach * 1.42, paint, rng.uniform(0, 6.3), 2.5)


def _drop_clutter(scene: Scene) -> None:
    rng = scene.rng
    turn = rng.uniform(0, 6.3)
    at = (SIDE / 2 + 46 * math.cos(turn), SIDE / 2 + 46 * math.sin(turn))
    turn += rng.normal(math.pi / 2, 0.4)
    colour = scene.pick(ANY)
    kind = rng.integers(4)
    if kind == 0:  # a pair of chopsticks
        for side in (-2.5, 2.5):
            scene.lay(capsule(40, 1.2), scene.near(at, 0, side, turn), 42, colour, turn)
    elif kind == 1:  # a dip
        r = rng.uniform(8, 16)
        scene.lay(disc(r), at, r, colour, 0, 3)
        scene.lay(disc(r * 0.8), at, r, scene.pick(ANY), 0, 0.5)
    elif kind == 2:  # leaves
        for _ in range(3):
            x, y = rng.normal(0, 5, 2)
            spot = scene.near(at, x, y, turn)
            green = scene.pick("herb pesto avocado plum")
            scene.lay(leaf(7, 3), spot, 7, green, rng.uniform(0, 6.3))
    else:  # a napkin
        scene.lay(box(20, 16, 1), at, 26, colour, turn, 1)


def ramp(values: Array) -> Array:
    """Clip to 0-1."""
    return np.minimum(np.maximum(values, 0), 1)


def mix(a: Array, b: Array, share: Array | float) -> Array:
    """Interpolate from a (share 0) to b (share 1)."""
    return a + (b - a) * np.asarray(share)[..., None]


@cache
def _cloud_texture() -> Array:
    """Smooth noise with bumps 16 pixels wide."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)) * 16
    spectrum = np.fft.fft2(rng.standard_normal((256, 256))) * np.exp(-np.square(2 * frequency))
    noise = np.fft.ifft2(spectrum).real
    return (noise / (2 * noise.std())).astype(np.float32)


@cache
def _grain_texture() -> Array:
    """Heaped grains, 8 pixels wide and 14 long."""
    rng = np.random.default_rng(0)
    texture = np.full((256, 256), 0.3, np.float32)
    y, x = np.mgrid[-8:8, -8:8].astype(np.float32)
    for _ in range(1500):
        turn = rng.uniform(0, math.pi)
        along = (x * math.cos(turn) + y * math.sin(turn)) / 7.5
        across = (y * math.cos(turn) - x * math.sin(turn)) / 4
        inside = np.square(along) + np.square(across)
        row, column = rng.integers(0, 256, 2)
        window = np.ix_(np.arange(row, row + 16) % 256, np.arange(column, column + 16) % 256)
        top = rng.uniform(0.85, 1.05) * (1 - 0.45 * inside)
        texture[window] = np.where(inside < 1, top, texture[window])
    return texture
