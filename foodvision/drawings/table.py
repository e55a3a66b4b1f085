"""What surrounds the food in every class: a table, clutter and a plate."""

from __future__ import annotations

import math

import numpy as np

from foodvision.drawings.colours import ANY, PLATE, TABLE, mix, ramp
from foodvision.drawings.outlines import Array, box, capsule, disc, leaf
from foodvision.drawings.scene import SIDE, Point, Scene


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
            scene.lay(
                leaf(7, 3), spot, 7, scene.pick("herb pesto avocado plum"), rng.uniform(0, 6.3)
            )
    else:  # a napkin
        scene.lay(box(20, 16, 1), at, 26, colour, turn, 1)
