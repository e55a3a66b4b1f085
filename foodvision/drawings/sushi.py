"""Sushi: rolls of rice, nori and a bright filling, or slabs of fish on rice."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from foodvision.drawings.colours import FILLING, mix, ramp
from foodvision.drawings.outlines import Array, box, disc
from foodvision.drawings.scene import Point, Scene


@dataclass(frozen=True)
class _Ingredients:
    """The colours of one plate, RGB in 0-1; `fillings` has three."""

    rice: Array
    nori: Array
    fillings: list[Array]


_Piece: TypeAlias = Callable[[Scene, Point, float, float, _Ingredients], None]
"""Draws a piece at a point; radius in pixels, clockwise rotation in radians."""


def serve_sushi(scene: Scene, at: Point, size: float) -> None:
    """Draw rows of pieces on a disc of radius `size` in pixels."""
    rng = scene.rng
    turn = rng.uniform(0, 6.3)
    pitch = rng.uniform(28, 40)
    shift = rng.uniform(0.2, 0.8, 2)
    rice = scene.pick("white white cream cream pink butter tan")
    nori = scene.pick("nori nori charcoal", unlike=rice)
    pieces = [_PIECES[rng.integers(len(_PIECES))] for _ in range(2)]
    food = _Ingredients(rice, nori, [scene.pick(FILLING, unlike=rice) for _ in range(3)])
    places = np.arange(-3, 4)
    for row in places:
        for column in places:
            x, y = (column + shift[0]) * pitch, (row + shift[1]) * pitch
            if math.hypot(x, y) < size - 0.2 * pitch and rng.random() < 0.95:
                piece = pieces[row % 2]
                piece(scene, scene.near(at, x, y, turn), pitch * 0.48, turn, food)


def _roll(
    scene: Scene,
    at: Point,
    r: float,
    turn: float,
    food: _Ingredients,
    inside_out: bool = False,
) -> None:
    """A slice of a roll seen from above, with the rice inside the nori or around it."""
    band = (0.5, 0.62) if inside_out else (0.8, 1.1)
    core = 0.42 if inside_out else 0.32
    cell = 3.0

    def paint(x: Array, y: Array, _: Array) -> Array:
        rho = np.hypot(x, y) / r
        colour = food.rice * scene.grains(x, y, cell)[..., None] ** 1.4
        wrap = ramp((rho - band[0]) * r) * ramp((band[1] - rho) * r)
        colour = mix(colour, food.nori * (1 + 0.15 * scene.clouds(x, y, 3))[..., None], wrap)
        first = mix(food.fillings[0], food.fillings[1], ramp(0.5 + x + 0.1 * r))
        first = mix(first, food.fillings[2], ramp(y - 0.1 * r) * (x < 0))
        first = first * (1 + 0.15 * scene.clouds(x, y, 4))[..., None]
        return mix(colour, first, ramp((core - rho) * r + 0.5))

    scene.lay(disc(r), at, r, paint, turn + scene.rng.uniform(-0.5, 0.5), 3)


def _nigiri(scene: Scene, at: Point, r: float, turn: float, food: _Ingredients) -> None:
    """A block of rice under a slab of fish, sometimes tied with nori."""
    cell = 3.0
    scene.lay(
        box(r, 0.62 * r, 0.4 * r),
        at,
        1.2 * r,
        lambda x, y, d: food.rice * scene.grains(x, y, cell)[..., None] ** 1.4,
        turn,
        3,
    )
    fish, stripe = food.fillings[0], mix(food.fillings[0], np.ones(3), np.asarray(0.5))
    lean = scene.rng.uniform(-0.5, 0.5)

    def paint(x: Array, y: Array, d: Array) -> Array:
        across = x / (0.36 * r) + lean * np.abs(y) / r * 4
        line = ramp(1 - 5 * np.abs(across - np.floor(across) - 0.5))
        return mix(fish, stripe, line)

    spot = scene.near(at, 0, -0.2 * r, turn)
    scene.lay(box(0.92 * r, 0.42 * r, 0.3 * r), spot, 1.1 * r, paint, turn, 1.5)
    if scene.rng.random() < 0.4:
        scene.lay(box(0.14 * r, 0.62 * r, 0.5), at, 0.7 * r, food.nori, turn, 0.8)


_PIECES: tuple[_Piece, ...] = (_roll, _roll, partial(_roll, inside_out=True), _nigiri)
