"""Pizza, steak and sushi that we draw ourselves: the offline sample. Drawings, not photographs.

A label and a seed go in, a small picture comes out; `write_drawn` makes a folder of them, to
train on within minutes and without a download. What a network scores on them shows that the code
works; it says nothing about photographs of food.

Only structure tells the classes apart. Their colours overlap, and the camera takes away most of
what is left; place, size and turn are random. So a linear model on pixels or on colour histograms
stays far behind a network (a test holds it to that).
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from foodvision.errors import DataError

CLASSES = ("pizza", "steak", "sushi")
SIDE = 96  # pixels
TRAIN_SEEDS = range(0, 1_000_000)
TEST_SEEDS = range(1_000_000, 2_000_000)  # disjoint from training's: a test picture is always new

Array: TypeAlias = NDArray[np.floating[Any]]
Point: TypeAlias = tuple[float, float]  # across and down, in pixels
# x and y from the middle, in pixels → distance to the outline in pixels, negative inside.
Shape: TypeAlias = Callable[[Array, Array], Array]
# x, y and that distance, each H W → RGB of about 0-1, H W 3.
Paint: TypeAlias = Callable[[Array, Array, Array], Array]


def draw_picture(label: str, seed: int) -> Image.Image:
    """Draw one picture (no photograph): RGB, 96 × 96 pixels.

    Args:
        label: one of `CLASSES`.
        seed: 0 or more. The same label and seed give the same pixels, whatever was drawn before.

    Raises:
        ValueError: if the label is unknown or the seed negative.

    """
    if label not in CLASSES:
        raise ValueError(f"cannot draw {label!r}, only {', '.join(CLASSES)}")
    if seed < 0:
        raise ValueError(f"the seed must be 0 or more, not {seed}")
    rng = np.random.default_rng([CLASSES.index(label), seed])
    scene = _Scene(rng)
    at = (SIDE / 2 + rng.uniform(-20, 20), SIDE / 2 + rng.uniform(-20, 20))
    size = rng.uniform(44, 62)  # about the radius of what is served
    _set_table(scene, at, size)
    {"pizza": _serve_pizza, "steak": _serve_steak, "sushi": _serve_sushi}[label](scene, at, size)
    return scene.photograph()


def write_drawn(
    out: Path,
    train_per_class: int = 800,
    test_per_class: int = 200,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``out/train/CLASS/CLASS-00000.jpg`` … and ``out/test/…``, all of it or nothing.

    One process draws 250 pictures a second; a pool would save seconds and cost simplicity.

    Args:
        out: a folder that is not there yet, or is empty.
        train_per_class: training pictures of each class.
        test_per_class: test pictures of each class, from seeds that training never uses.
        on_progress: called after each picture with the pictures done and their total.

    Raises:
        DataError: if there is something at `out`.
        ValueError: if a count is negative or larger than the range of seeds.

    """
    splits = {"train": (TRAIN_SEEDS, train_per_class), "test": (TEST_SEEDS, test_per_class)}
    for split, (seeds, count) in splits.items():
        if not 0 <= count <= len(seeds):
            raise ValueError(f"{split}: {count} pictures per class, not 0 to {len(seeds)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already; remove it or choose another folder")

    total = len(CLASSES) * (train_per_class + test_per_class)
    done = 0
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    try:
        for split, (seeds, count) in splits.items():
            for label in CLASSES:
                folder = unfinished / split / label
                folder.mkdir(parents=True)
                for number, seed in enumerate(seeds[:count]):
                    picture = draw_picture(label, seed)
                    picture.save(folder / f"{label}-{number:05}.jpg", quality=90)
                    done += 1
                    if on_progress is not None:
                        on_progress(done, total)
        if out.exists():
            out.rmdir()  # empty; Windows renames onto no folder at all
        unfinished.rename(out)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


# --- The scene: things are laid on it one by one, then it is photographed ------------------------


class _Scene:
    """A picture in the making: float RGB of about 0-1, lit from one side."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pixels = np.zeros((SIDE, SIDE, 3), np.float32)
        lamp = self.turn()
        self.light = math.cos(lamp), math.sin(lamp)  # points towards the lamp

    def lay(
        self,
        shape: Shape,
        at: Point,
        reach: float,
        paint: Paint | Array,
        turn: float = 0.0,
        height: float = 1.5,
    ) -> None:
        """Lay one thing on top: its shadow, its colours, the light along its edge.

        Args:
            shape: its outline.
            at: where its middle goes.
            reach: no part of it is further from its middle, in pixels.
            paint: its colours, or its one colour.
            turn: clockwise, in radians.
            height: how far its shadow falls, in pixels.

        """
        span = reach + height + 2  # only this window is computed, which makes small things cheap
        left, right = max(0, int(at[0] - span)), min(SIDE, int(at[0] + span) + 1)
        top, bottom = max(0, int(at[1] - span)), min(SIDE, int(at[1] + span) + 1)
        if left >= right or top >= bottom:
            return  # outside the frame
        across = np.arange(left, right, dtype=np.float32) - at[0]
        down = np.arange(top, bottom, dtype=np.float32)[:, None] - at[1]
        cos, sin = math.cos(turn), math.sin(turn)
        x, y = cos * across + sin * down, cos * down - sin * across
        distance = shape(x, y)
        # One more look at the outline, a step towards the lamp, gives both shadow and slope.
        step_x = height * (cos * self.light[0] + sin * self.light[1])
        step_y = height * (cos * self.light[1] - sin * self.light[0])
        towards_lamp = shape(x + step_x, y + step_y)
        slope = (towards_lamp - distance) / height  # 1 faces the lamp, -1 is turned away

        window = self.pixels[top:bottom, left:right]
        window *= 1 - 0.5 * _clip(0.5 - towards_lamp / (1.5 * height))[..., None]
        colour = paint(x, y, distance) if callable(paint) else paint
        gleam = 0.4 * slope * np.exp(np.minimum(distance, 0) / (0.7 + 0.7 * height))
        cover = _clip(0.5 - distance)[..., None]  # a ramp one pixel wide is the anti-aliasing
        window += cover * (colour * (1 + gleam)[..., None] - window)

    def photograph(self) -> Image.Image:
        """Take the picture: uneven light, automatic exposure and white balance, noise, blur."""
        rng = self.rng
        ruler = np.linspace(-1, 1, SIDE, dtype=np.float32)
        fall = self.light[0] * ruler + self.light[1] * ruler[:, None]
        pixels = self.pixels * (1 + rng.uniform(0, 0.4) * fall)[..., None]
        # The camera's automatic takes each class's mean colour away; it errs at random.
        tint = np.exp(rng.normal(0, 0.07, 3)).astype(np.float32)
        pixels *= rng.uniform(0.4, 0.6) * tint / pixels.mean((0, 1))
        pixels = np.maximum(pixels, 0) ** rng.uniform(0.8, 1.25)
        pixels /= (1 + pixels**4) ** 0.25  # lights fade to white instead of being cut off
        pixels += rng.uniform(0, 0.02) * rng.standard_normal((SIDE, SIDE, 1), np.float32)
        image = Image.fromarray((255 * _clip(pixels)).astype(np.uint8))
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.5)))

    def turn(self) -> float:
        """Choose an angle, in radians."""
        return self.rng.uniform(0, 2 * math.pi)

    def pick(self, names: str, unlike: Array | None = None) -> Array:
        """Choose a colour by name, then off by a little; if it can be had, far from `unlike`."""
        choices = names.split()
        for _ in range(8):
            colour = _COLOURS[choices[self.rng.integers(len(choices))]]
            colour = colour * self.rng.uniform(0.8, 1.15) + self.rng.normal(0, 0.03, 3)
            if unlike is None or np.abs(colour - unlike).sum() > 0.7:
                break
        return np.clip(colour, 0.03, 1).astype(np.float32)

    def clouds(self, x: Array, y: Array, cell: float, stretch: float = 1.0) -> Array:
        """Smooth noise of about -1 to 1, H W 1, its bumps `cell` pixels wide."""
        return self._look_up(_clouds(), x * (16 / cell / stretch), y * (16 / cell))

    def grains(self, x: Array, y: Array) -> Array:
        """Grains of rice, H W 1: from 0.2 in the cracks to 1 on top."""
        return self._look_up(_grains(), x * 2.6, y * 2.6)

    def _look_up(self, texture: Array, x: Array, y: Array) -> Array:
        row, column = self.rng.integers(0, len(texture), 2).tolist()
        last = len(texture) - 1  # a power of two less one: & wraps around, below zero too
        rows, columns = (y + row).astype(np.int32) & last, (x + column).astype(np.int32) & last
        return texture[rows, columns, None]


def _set_table(scene: _Scene, at: Point, size: float) -> None:
    """Draw what is the same for all three classes: table, clutter and plate."""
    rng = scene.rng
    ground = scene.pick("tan brown slate blue charcoal cream herb tomato")
    streak = _mix(ground, scene.pick(_ANY), 0.3)
    cell, stretch = rng.uniform(8, 40), (1, 6)[rng.integers(2)]  # stone, or wood with its grain

    def table(x: Array, y: Array, _: Array) -> Array:
        return _mix(ground, streak, 0.5 + 0.5 * scene.clouds(x, y, cell, stretch))

    scene.lay(_disc(2 * SIDE), (SIDE / 2, SIDE / 2), SIDE, table, scene.turn())
    for _ in range(rng.integers(3)):
        _drop_clutter(scene)

    plate = scene.pick(_PLATES)
    rim = scene.pick(_PLATES) if rng.random() < 0.3 else plate
    r = size * rng.uniform(1.02, 1.25)
    board = _box(r, r * rng.uniform(0.75, 1), rng.uniform(1, 8))

    def glaze(_x: Array, _y: Array, distance: Array) -> Array:
        groove = (distance + 0.14 * r)[..., None]
        shade: Array = 1 - 0.2 * np.exp(-(groove**2))
        return _mix(plate, rim, _clip(0.5 + groove)) * shade

    scene.lay(_disc(r) if rng.random() < 0.6 else board, at, 1.42 * r, glaze, scene.turn(), 2.5)


def _drop_clutter(scene: _Scene) -> None:
    """Put chopsticks, a dip, leaves or a napkin near the edge of the picture."""
    around = scene.turn()
    at = (SIDE / 2 + 46 * math.cos(around), SIDE / 2 + 46 * math.sin(around))
    turn = around + scene.rng.normal(math.pi / 2, 0.4)
    colour = scene.pick(_ANY)
    match scene.rng.integers(4):
        case 0:
            for side in (-2.5, 2.5):
                scene.lay(_capsule(40, 1.2), _place(at, turn, 0, side), 42, colour, turn)
        case 1:
            r = scene.rng.uniform(8, 16)
            scene.lay(_disc(r), at, r, colour, height=3)
            scene.lay(_disc(0.8 * r), at, r, scene.pick(_ANY), height=0.5)
        case 2:
            for angle in (0, 2, 4):
                spot = _place(at, turn + angle, 6, 0)
                scene.lay(_leaf(7, 3), spot, 7, scene.pick("herb pesto avocado"), turn + angle)
        case _:
            scene.lay(_box(20, 16, 1), at, 26, colour, turn)


# --- Pizza: a round of dough with a rim, strewn with toppings ------------------------------------


def _serve_pizza(scene: _Scene, at: Point, size: float) -> None:
    rng = scene.rng
    turn = scene.turn()
    dough = scene.pick("tan tan butter cream brown charcoal")
    cheese = scene.pick("cream white butter cheddar tomato pesto tan pink")
    sauce = scene.pick("tomato tomato pesto cream brown", unlike=cheese)
    half = math.pi  # how far the pizza goes round to either side: all the way
    portion = rng.random()
    if portion < 0.1:  # a single slice, seen from close
        size, half = 1.9 * size, rng.uniform(0.5, 0.62)
        at = _place(at, turn, -0.6 * size, 0)
    elif portion > 0.7:  # somebody has had a slice
        half -= rng.uniform(0.25, 0.55)
    whole = _blob(rng, size, 0.02)
    width = rng.uniform(0.1, 0.17) * size

    def outline(x: Array, y: Array) -> Array:
        if half == math.pi:
            return whole(x, y)
        return np.maximum(whole(x, y), np.abs(y) * math.cos(half) - x * math.sin(half))

    def paint(x: Array, y: Array, _: Array) -> Array:
        edge = whole(x, y)[..., None]  # of the round: a cut has no rim
        melted = _mix(cheese, sauce, _clip(0.1 + 0.9 * scene.clouds(x, y, 6)))
        melted = _mix(melted, sauce, _clip(edge + width + 2.5))
        swell = 1 - 0.45 * (1 + 2 * edge / width) ** 2 + 0.25 * scene.clouds(x, y, 5)
        return _mix(melted, dough * swell, _clip(edge + width))

    scene.lay(outline, at, 1.1 * size, paint, turn, height=2)

    unit = rng.uniform(1.25, 1.65)
    kinds = [_TOPPINGS[i] for i in rng.permutation(len(_TOPPINGS))[: rng.integers(2, 4)]]
    toppings = [(build, scene.pick(names, unlike=cheese)) for build, names in kinds]
    count = int(rng.uniform(0.018, 0.024) * (size / unit) ** 2)
    for i in range(count):  # laid out like the seeds of a sunflower: even, and yet no grid
        r = (size - width - 3.5 * unit) * math.sqrt((i + 0.5) / count) + rng.normal()
        x, y = r * math.cos(2.4 * i), r * math.sin(2.4 * i)
        if outline(np.array(x), np.array(y)) < -2 * unit:
            build, colour = toppings[rng.integers(len(toppings))]
            topping = build(unit * rng.uniform(0.85, 1.15))
            spot = _place(at, turn, x, y)
            scene.lay(topping, spot, 7 * unit, _seared(scene, colour), scene.turn(), height=1.2)


def _seared(scene: _Scene, colour: Array) -> Paint:
    """Return `colour`, speckled and with a darker edge."""

    def paint(x: Array, y: Array, distance: Array) -> Array:
        dark: Array = 0.35 * np.exp(-((distance[..., None] + 0.5) ** 2))
        return colour * (1 + 0.2 * scene.clouds(x, y, 3) - dark)

    return paint


# --- Steak: one piece of meat with fat, marbling and the marks of the grill ----------------------


def _serve_steak(scene: _Scene, at: Point, size: float) -> None:
    rng = scene.rng
    meat = scene.pick("seared brown brown raw raw pink tan")
    fat = scene.pick("cream butter tan pink", unlike=meat)
    char = meat * rng.uniform(0.25, 0.45)
    body, slim = _blob(rng, 0.92 * size, 0.08), rng.uniform(0.7, 0.9)
    fat_side, fat_width = scene.turn(), rng.uniform(0.09, 0.15) * size
    grill = scene.turn()
    bars = (grill, grill + 1.4) if rng.random() < 0.4 else (grill,)
    pitch, thickness = rng.uniform(7.5, 11), rng.uniform(0.3, 0.45)

    def outline(x: Array, y: Array) -> Array:
        return body(x, y / slim) * slim

    def marks(x: Array, y: Array, angle: float) -> Array:
        phase = (x * math.cos(angle) + y * math.sin(angle)) / pitch
        from_bar = 2 * np.abs(phase - np.floor(phase) - 0.5)
        return _clip((thickness - from_bar) * pitch * 0.5 + 0.5)[..., None]

    def paint(x: Array, y: Array, distance: Array) -> Array:
        fibre = scene.clouds(x, y, 3, stretch=3)
        veins = _clip(0.9 - 9 * np.abs(scene.clouds(x, y, 16)))
        colour = _mix(meat * (1 + 0.25 * fibre), fat, 0.7 * veins)
        side = (x * math.cos(fat_side) + y * math.sin(fat_side))[..., None] / size
        edge = distance[..., None]
        band = _clip(edge + fat_width) * _clip(3 * side + 0.5 + 0.5 * fibre)
        colour = _mix(colour, fat * (1 + 0.1 * fibre), band)
        for bar in bars:
            colour = _mix(colour, char, marks(x, y, bar) * (0.8 + 0.2 * fibre) * _clip(-edge / 3))
        return colour

    scene.lay(outline, at, 1.3 * size, paint, scene.turn(), height=3.5)
    _garnish(scene, at, size)


def _garnish(scene: _Scene, at: Point, size: float) -> None:
    """Put butter, rosemary, peppercorns or nothing on the steak."""
    turn = scene.turn()
    match scene.rng.integers(4):
        case 0:
            spot = _place(at, turn, 0.2 * size, 0)
            scene.lay(_box(5, 4, 1), spot, 7, scene.pick("butter cream avocado"), turn, height=2)
        case 1:
            green = scene.pick("herb pesto avocado")
            scene.lay(_capsule(11, 0.6), at, 12, green, turn, height=1)
            for i in range(-3, 4):
                for side in (-1, 1):
                    spot = _place(at, turn, 3.2 * i, 2.2 * side)
                    scene.lay(_capsule(2.4, 0.7), spot, 4, green, turn + 0.8 * side, height=0.8)
        case 2:
            colour = scene.pick("charcoal herb pink tomato")
            for x, y in scene.rng.normal(0, 0.3 * size, (7, 2)).tolist():
                scene.lay(_disc(1.6), (at[0] + x, at[1] + y), 2, colour)


# --- Sushi: grains of rice, dark nori, a bright filling; or fish on a block of rice --------------


class _Ingredients(NamedTuple):
    """The colours of one platter."""

    rice: Array
    nori: Array
    fillings: list[Array]


def _serve_sushi(scene: _Scene, at: Point, size: float) -> None:
    rng = scene.rng
    rice = scene.pick("white white cream cream pink butter tan")
    nori = scene.pick("nori nori charcoal", unlike=rice)
    fillings = [scene.pick(_FILLINGS, unlike=rice) for _ in range(3)]
    ingredients = _Ingredients(rice, nori, fillings)
    pieces = (_roll, _roll, _inside_out, _nigiri)
    rows = [pieces[i] for i in rng.integers(len(pieces), size=2)]  # in turn
    turn, pitch = scene.turn(), rng.uniform(28, 40)
    shift_x, shift_y = rng.uniform(0.2, 0.8, 2).tolist()
    for row in range(-3, 4):
        for column in range(-3, 4):
            x, y = (column + shift_x) * pitch, (row + shift_y) * pitch
            eaten = rng.random() < 0.05
            if math.hypot(x, y) < size - 0.2 * pitch and not eaten:
                rows[row % 2](scene, _place(at, turn, x, y), 0.48 * pitch, turn, ingredients)


def _roll(scene: _Scene, at: Point, r: float, turn: float, ingredients: _Ingredients) -> None:
    """Draw a slice of a roll from above: nori around rice around the filling."""
    _slice_of_roll(scene, at, r, turn, ingredients, core=0.32, wrap=(0.8, 1.2))


def _inside_out(scene: _Scene, at: Point, r: float, turn: float, ingredients: _Ingredients) -> None:
    """Draw a slice of a roll that has its rice outside."""
    _slice_of_roll(scene, at, r, turn, ingredients, core=0.42, wrap=(0.5, 0.62))


def _slice_of_roll(
    scene: _Scene,
    at: Point,
    r: float,
    turn: float,
    ingredients: _Ingredients,
    core: float,
    wrap: tuple[float, float],
) -> None:
    """Draw rings: `core` and `wrap` say, in shares of `r`, where filling and nori are."""
    first, second, third = ingredients.fillings

    def paint(x: Array, y: Array, distance: Array) -> Array:
        inner = (distance + r)[..., None]  # pixels from the middle
        rice = ingredients.rice * scene.grains(x, y)
        nori = ingredients.nori * (1 + 0.15 * scene.clouds(x, y, 3))
        rolled = _mix(rice, nori, _clip(inner - wrap[0] * r) * _clip(wrap[1] * r - inner))
        right, lower = _clip(0.5 + x)[..., None], _clip(0.5 + y)[..., None]
        filling = _mix(_mix(first, third, lower), second, right)
        speckle = 1 + 0.15 * scene.clouds(x, y, 4)
        return _mix(rolled, filling * speckle, _clip(core * r - inner + 0.5))

    scene.lay(_disc(r), at, r, paint, turn + scene.rng.uniform(-0.5, 0.5), height=3)


def _nigiri(scene: _Scene, at: Point, r: float, turn: float, ingredients: _Ingredients) -> None:
    """Draw a slab of fish on a block of rice, sometimes tied with nori."""
    fish = ingredients.fillings[0]
    lean = scene.rng.uniform(-2, 2)

    def rice(x: Array, y: Array, _: Array) -> Array:
        return ingredients.rice * scene.grains(x, y)

    def slab(x: Array, y: Array, _: Array) -> Array:
        phase = (x / 0.36 + lean * np.abs(y)) / r
        stripe = _clip(1 - 5 * np.abs(phase - np.floor(phase) - 0.5))
        return _mix(fish, 0.5 + 0.5 * fish, stripe[..., None])

    scene.lay(_box(r, 0.62 * r, 0.4 * r), at, 1.2 * r, rice, turn, height=3)
    spot = _place(at, turn, 0, -0.2 * r)
    scene.lay(_box(0.92 * r, 0.42 * r, 0.3 * r), spot, 1.1 * r, slab, turn)
    if scene.rng.random() < 0.4:
        scene.lay(_box(0.14 * r, 0.62 * r, 0.5), at, 0.7 * r, ingredients.nori, turn, height=0.8)


# --- Outlines ------------------------------------------------------------------------------------


def _disc(r: float) -> Shape:
    return lambda x, y: np.hypot(x, y) - r


def _capsule(half_length: float, r: float) -> Shape:
    return lambda x, y: np.hypot(np.maximum(np.abs(x) - half_length, 0), y) - r


def _box(half_width: float, half_height: float, corner: float) -> Shape:
    def shape(x: Array, y: Array) -> Array:
        dx, dy = np.abs(x) - (half_width - corner), np.abs(y) - (half_height - corner)
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        return outside + np.minimum(np.maximum(dx, dy), 0) - corner

    return shape


def _leaf(half_length: float, half_width: float) -> Shape:
    r = (half_length**2 + half_width**2) / (2 * half_width)
    return lambda x, y: np.hypot(x, np.abs(y) + (r - half_width)) - r


def _crescent(r: float, half_width: float) -> Shape:
    return lambda x, y: np.maximum(np.abs(np.hypot(x, y + 0.6 * r) - r) - half_width, -y)


def _mushroom(r: float) -> Shape:
    cap, stem = _disc(r), _box(0.28 * r, r, 0.5)
    return lambda x, y: np.minimum(np.maximum(cap(x, y), y), stem(x, y))


def _blob(rng: np.random.Generator, r: float, wobble: float) -> Shape:
    """Return a round whose radius wanders by about `wobble` of itself."""
    waves = [(k, rng.normal(0, wobble / math.sqrt(k)), rng.uniform(0, 6.3)) for k in (2, 3, 4, 6)]

    def shape(x: Array, y: Array) -> Array:
        angle = np.arctan2(y, x)
        swing = sum(size * np.cos(k * angle + phase) for k, size, phase in waves)
        return np.hypot(x, y) - r * (1 + swing)

    return shape


# Each with the colours it may have; it is built for a unit of about 1.5 pixels.
_TOPPINGS: tuple[tuple[Callable[[float], Shape], str], ...] = (
    (lambda unit: _disc(4.8 * unit), "tomato raw salmon brown"),  # salami
    (lambda unit: _disc(2.4 * unit), "charcoal herb plum"),  # olives
    (lambda unit: _crescent(5 * unit, 1.1 * unit), "herb cheddar tomato avocado"),  # pepper
    (lambda unit: _mushroom(4 * unit), "cream tan brown white"),
    (lambda unit: _leaf(5.5 * unit, 2.2 * unit), "herb pesto avocado"),  # basil
    (lambda unit: _box(3.4 * unit, 3.4 * unit, 0.8 * unit), "pink raw butter seared"),  # ham
)


# --- Places, colours and textures ----------------------------------------------------------------


_COLOURS = {
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
_ANY = " ".join(_COLOURS)
_PLATES = "white cream blue slate charcoal tan brown"
_FILLINGS = "salmon raw tomato cheddar butter avocado herb pink plum cream brown"


def _place(at: Point, turn: float, x: float, y: float) -> Point:
    """Return where the point x, y of a thing is when the thing lies turned at `at`."""
    cos, sin = math.cos(turn), math.sin(turn)
    return at[0] + cos * x - sin * y, at[1] + sin * x + cos * y


def _clip(values: Array) -> Array:
    """Clip to 0-1; np.clip takes twice as long on arrays this small."""
    return np.minimum(np.maximum(values, 0), 1)


def _mix(a: Array, b: Array, share: Array | float) -> Array:
    """Go from `a` to `b` as `share` goes from 0 to 1."""
    return a + (b - a) * share


@cache
def _clouds() -> Array:
    """256 × 256 of smooth noise, its bumps 16 pixels wide; opposite edges fit together."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    spectrum = np.fft.fft2(rng.standard_normal((256, 256))) * np.exp(-((32 * frequency) ** 2))
    noise = np.fft.ifft2(spectrum).real
    clouds: Array = (noise / (2 * noise.std())).astype(np.float32)
    return clouds


@cache
def _grains() -> Array:
    """256 × 256 of grains, 8 pixels wide and 15 long, in a heap; opposite edges fit together."""
    rng = np.random.default_rng(0)
    texture: Array = np.full((256, 256), 0.2, np.float32)
    y, x = np.mgrid[-8:8, -8:8]
    for _ in range(1500):
        angle = rng.uniform(0, math.pi)
        along = (x * math.cos(angle) + y * math.sin(angle)) / 7.5
        across = (y * math.cos(angle) - x * math.sin(angle)) / 4
        inside = along**2 + across**2
        row, column = rng.integers(0, 256, 2)
        window = np.ix_(np.arange(row, row + 16) % 256, np.arange(column, column + 16) % 256)
        top = rng.uniform(0.82, 1.02) * (1 - 0.6 * inside)
        texture[window] = np.where(inside < 1, top, texture[window])
    return texture
