"""Pizza: a disc of dough with a crust and toppings."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from foodvision.drawings.outlines import Array, Shape, blob, box, disc, leaf, mushroom, strip
from foodvision.drawings.scene import Point, Scene, mix, ramp


def serve_pizza(scene: Scene, at: Point, size: float) -> None:
    """Draw a pizza of radius `size` in pixels: whole, with a slice missing, or one large slice."""
    rng = scene.rng
    dough = scene.pick("tan tan butter cream brown charcoal")
    cheese = scene.pick("cream white butter cheddar tomato pesto tan pink")
    sauce = scene.pick("tomato tomato pesto cream brown", unlike=cheese)
    turn = rng.uniform(0, 6.3)
    cut = rng.random()
    if cut < 0.1:  # one slice, its tip at the centre of the whole
        size *= 1.9
        half = rng.uniform(0.5, 0.62)
        at = scene.near(at, -0.6 * size, 0, turn)
    else:
        half = math.pi if cut < 0.7 else math.pi - rng.uniform(0.25, 0.55)
    whole = blob(size, rng, 0.02)
    width = rng.uniform(0.1, 0.17) * size

    def outline(x: Array, y: Array) -> Array:
        if half == math.pi:
            return whole(x, y)
        side = np.abs(y) * math.cos(half) - x * math.sin(half)
        return np.maximum(whole(x, y), side)

    def paint(x: Array, y: Array, _: Array) -> Array:
        edge = whole(x, y)
        rim = ramp(edge + width)
        melted = mix(cheese, sauce, ramp(0.1 + 0.9 * scene.clouds(x, y, 6)))
        melted = mix(melted, sauce, ramp(edge + width + 2.5))
        round_off = 1 - 0.45 * np.square(1 + 2 * edge / width)
        crust = dough * (round_off + 0.25 * scene.clouds(x, y, 5))[..., None]
        return mix(melted, crust, rim)

    scene.lay(outline, at, size * 1.1, paint, turn, 2)

    kinds = rng.choice(len(_TOPPINGS), rng.integers(2, 4), replace=False)
    toppings = [(_TOPPINGS[k][0], scene.pick(_TOPPINGS[k][1], unlike=cheese)) for k in kinds]
    unit = rng.uniform(1.25, 1.65)
    count = int(rng.uniform(0.018, 0.024) * (size / unit) ** 2)
    for i in range(count):  # like a sunflower's seeds: even, but not a grid
        angle = 2.4 * i
        r = (size - width - 3.5 * unit) * math.sqrt((i + 0.5) / count) + rng.normal(0, 1)
        x, y = r * math.cos(angle), r * math.sin(angle)
        if outline(np.asarray(x), np.asarray(y)) < -2 * unit:
            make, colour = toppings[rng.integers(len(toppings))]
            topping = make(unit * rng.uniform(0.85, 1.15))
            spot = scene.near(at, x, y, turn)

            def speckled(x: Array, y: Array, d: Array, colour: Array = colour) -> Array:
                shade = 1 + 0.2 * scene.clouds(x, y, 3) - 0.35 * np.exp(-np.square(d + 0.5))
                return colour * shade[..., None]

            scene.lay(topping, spot, 7 * unit, speckled, rng.uniform(0, 6.3), 1.2)


_TOPPINGS: tuple[tuple[Callable[[float], Shape], str], ...] = (
    (lambda unit: disc(4.8 * unit), "tomato raw salmon brown"),  # salami
    (lambda unit: disc(2.4 * unit), "charcoal herb plum"),  # olives
    (lambda unit: strip(5 * unit, 1.1 * unit), "herb cheddar tomato avocado"),  # pepper
    (lambda unit: mushroom(4 * unit), "cream tan brown white"),
    (lambda unit: leaf(5.5 * unit, 2.2 * unit), "herb pesto avocado"),  # basil
    (lambda unit: box(3.4 * unit, 3.4 * unit, 0.8 * unit), "pink raw butter seared"),  # ham
)
