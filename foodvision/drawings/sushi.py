"""Sushi: rolls of rice, nori and a bright filling, or slabs of fish on rice."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from foodvision.drawings.outlines import Array, box, disc
from foodvision.drawings.scene import Point, Scene, mix, ramp


def serve_sushi(scene: Scene, at: Point, size: float) -> None:
    """Draw rows of pieces on a disc of radius `size` in pixels."""
    rng = scene.rng
    turn = rng.uniform(0, 6.3)
    pitch = rng.uniform(28, 40)
    shift = rng.uniform(0.2, 0.8, 2)
    rice = scene.pick("white white cream cream pink butter tan")
    nori = scene.pick("nori nori charcoal", unlike=rice)
    kinds = rng.choice(_KINDS, 2)
    fillings = [scene.pick(_FILLING, unlike=rice) for _ in range(3)]
    plate = _Plate(scene, pitch * 0.48, turn, rice, nori, fillings)
    places = np.arange(-3, 4)
    for row in places:
        for column in places:
            x, y = (column + shift[0]) * pitch, (row + shift[1]) * pitch
            if math.hypot(x, y) < size - 0.2 * pitch and rng.random() < 0.95:
                spot = scene.near(at, x, y, turn)
                if kinds[row % 2] == "nigiri":
                    plate.nigiri(spot)
                else:
                    plate.roll(spot, kinds[row % 2] == "inside out")


_FILLING = "salmon raw tomato cheddar butter avocado herb pink plum cream brown"
_KINDS = ("roll", "roll", "inside out", "nigiri")


class _Plate(NamedTuple):
    """What the pieces of one drawing share; colours are RGB in 0-1."""

    scene: Scene
    r: float  # of a piece, in pixels
    turn: float  # clockwise rotation in radians
    rice: Array
    nori: Array
    fillings: list[Array]  # three

    def roll(self, at: Point, inside_out: bool) -> None:
        """A slice of a roll seen from above, with the rice inside the nori or around it."""
        scene, r = self.scene, self.r
        start, stop, core = (0.5, 0.62, 0.42) if inside_out else (0.8, 1.1, 0.32)

        def paint(x: Array, y: Array, distance: Array) -> Array:
            rho = np.hypot(x, y) / r
            wrap = ramp((rho - start) * r) * ramp((stop - rho) * r)
            colour = self._rice(x, y, distance)
            colour = mix(colour, self.nori * (1 + 0.15 * scene.clouds(x, y, 3))[..., None], wrap)
            first = mix(self.fillings[0], self.fillings[1], ramp(0.5 + x + 0.1 * r))
            first = mix(first, self.fillings[2], ramp(y - 0.1 * r) * (x < 0))
            first = first * (1 + 0.15 * scene.clouds(x, y, 4))[..., None]
            return mix(colour, first, ramp((core - rho) * r + 0.5))

        scene.lay(disc(r), at, r, paint, self.turn + scene.rng.uniform(-0.5, 0.5), 3)

    def nigiri(self, at: Point) -> None:
        """A block of rice under a slab of fish, sometimes tied with nori."""
        scene, r, turn = self.scene, self.r, self.turn
        scene.lay(box(r, 0.62 * r, 0.4 * r), at, 1.2 * r, self._rice, turn, 3)
        fish, stripe = self.fillings[0], mix(self.fillings[0], np.ones(3), 0.5)
        lean = scene.rng.uniform(-0.5, 0.5)

        def paint(x: Array, y: Array, _: Array) -> Array:
            across = x / (0.36 * r) + lean * np.abs(y) / r * 4
            line = ramp(1 - 5 * np.abs(across - np.floor(across) - 0.5))
            return mix(fish, stripe, line)

        spot = scene.near(at, 0, -0.2 * r, turn)
        scene.lay(box(0.92 * r, 0.42 * r, 0.3 * r), spot, 1.1 * r, paint, turn, 1.5)
        if scene.rng.random() < 0.4:
            scene.lay(box(0.14 * r, 0.62 * r, 0.5), at, 0.7 * r, self.nori, turn, 0.8)

    def _rice(self, x: Array, y: Array, _: Array) -> Array:
        return self.rice * self.scene.grains(x, y)[..., None] ** 1.4
