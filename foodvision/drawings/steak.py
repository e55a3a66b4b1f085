"""Steak: one piece of meat with an edge of fat, marbling and grill marks."""

from __future__ import annotations

import math

import numpy as np

from foodvision.drawings.outlines import Array, blob, box, capsule, disc
from foodvision.drawings.scene import Point, Scene, mix, ramp


def serve_steak(scene: Scene, at: Point, size: float) -> None:
    """Draw a steak of radius `size` in pixels, and mostly a garnish on it."""
    rng = scene.rng
    meat = scene.pick("seared brown brown raw raw pink tan")
    fat = scene.pick("cream butter tan pink", unlike=meat)
    char = meat * rng.uniform(0.25, 0.45)
    turn = rng.uniform(0, 6.3)
    wobble = blob(size * 0.92, rng, 0.08)
    slim = rng.uniform(0.7, 0.9)

    def outline(x: Array, y: Array) -> Array:
        return wobble(x, y / slim) * slim

    period = rng.uniform(7.5, 11)
    grill = rng.uniform(0, 3.14)
    crossed = rng.random() < 0.4
    thickness = rng.uniform(0.3, 0.45)
    fat_side = rng.uniform(0, 6.3)
    fat_width = rng.uniform(0.09, 0.15) * size

    def marks(x: Array, y: Array, angle: float) -> Array:
        along = (x * math.cos(angle) + y * math.sin(angle)) / period
        ridge = np.abs(along - np.floor(along) - 0.5) * 2
        return ramp((thickness - ridge) * period * 0.5 + 0.5)

    def paint(x: Array, y: Array, distance: Array) -> Array:
        fibre = scene.clouds(x, y, 3, 3)
        vein = ramp(0.9 - 9 * np.abs(scene.clouds(x, y, 16)))
        colour = mix(meat * (1 + 0.25 * fibre)[..., None], fat, 0.7 * vein)
        side = (x * math.cos(fat_side) + y * math.sin(fat_side)) / size
        band = ramp(distance + fat_width) * ramp(3 * side + 0.5 + 0.5 * fibre)
        colour = mix(colour, fat * (1 + 0.1 * fibre)[..., None], band)
        burnt = marks(x, y, grill)
        if crossed:
            burnt = np.maximum(burnt, marks(x, y, grill + 1.4))
        return mix(colour, char, burnt * (0.8 + 0.2 * fibre) * ramp(-distance / 3))

    scene.lay(outline, at, size * 1.3, paint, turn, 3.5)
    _garnish(scene, at, size)


def _garnish(scene: Scene, at: Point, size: float) -> None:
    rng = scene.rng
    turn = rng.uniform(0, 6.3)
    kind = rng.integers(4)
    if kind == 0:  # butter
        spot = scene.near(at, size * 0.2, 0, turn)
        scene.lay(box(5, 4, 1), spot, 7, scene.pick("butter cream avocado"), turn, 2)
    elif kind == 1:  # a sprig of rosemary
        green = scene.pick("herb pesto avocado")
        scene.lay(capsule(11, 0.6), at, 12, green, turn, 1)
        for i in range(-3, 4):
            for side in (-1, 1):
                spot = scene.near(at, 3.2 * i, 2.2 * side, turn)
                scene.lay(capsule(2.4, 0.7), spot, 4, green, turn + side * 0.8, 0.8)
    elif kind == 2:  # peppercorns
        colour = scene.pick("charcoal herb pink tomato")
        for _ in range(7):
            x, y = rng.normal(0, size * 0.3, 2)
            spot = scene.near(at, x, y, 0)
            scene.lay(disc(1.6), spot, 2, colour)
