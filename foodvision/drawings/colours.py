"""Named colours, and the two functions that blend them."""

from __future__ import annotations

import numpy as np

from foodvision.drawings.outlines import Array

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
FILLING = "salmon raw tomato cheddar butter avocado herb pink plum cream brown"


def ramp(values: Array) -> Array:
    """Clip to 0-1."""
    return np.minimum(np.maximum(values, 0), 1)


def mix(a: Array, b: Array, share: Array) -> Array:
    """Interpolate from a (share 0) to b (share 1)."""
    return a + (b - a) * np.asarray(share)[..., None]
