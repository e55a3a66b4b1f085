"""Pizza, steak and sushi that we draw ourselves: the offline sample. Drawings, no photographs.

A label and a seed go in, a small image comes out; `write_drawn` makes a folder of them that
trains a network in minutes without any download. What a network scores here says that the code
works, and nothing about photographs of food.

Colour is drawn from the same wide range for all three classes (dough of charcoal, pale and raw
steak, rice in purple, coloured light), and place, size and turn are random: only structure tells
them apart. A linear model on the pixels or on the colours stays far behind (a test proves it).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import islice
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from foodvision.files.atomic import new_folder

CLASSES = ("pizza", "steak", "sushi")
SIDE = 96  # pixels
TRAIN_SEEDS = range(0, 1_000_000)
TEST_SEEDS = range(1_000_000, 2_000_000)
SEEDS = {"train": TRAIN_SEEDS, "test": TEST_SEEDS}

Array = NDArray[Any]
# x, y in pixels from the middle → signed distance to the outline in pixels, negative inside.
Shape = Callable[[Array, Array], Array]
# x, y and that distance → RGB in about 0-1.
Paint = Callable[[Array, Array, Array], Array]


def draw_image(label: str, seed: int) -> Image.Image:
    """Draw one image: RGB, 96 × 96 pixels.

    Args:
        label: one of `CLASSES`.
        seed: 0 or more. The same label and seed give the same pixels, whatever was drawn before.

    Raises:
        ValueError: if the label is unknown or the seed negative.

    """
    if label not in CLASSES:
        raise ValueError(f"cannot draw {label!r}, only {', '.join(CLASSES)}")
    rng = np.random.default_rng([CLASSES.index(label), seed])
    scene = _Scene(rng)
    x, y = SIDE / 2 + rng.uniform(-20, 20, 2)
    at = float(x), float(y)
    size = rng.uniform(44, 62)
    scene.set_table(at, size)
    {"pizza": _serve_pizza, "steak": _serve_steak, "sushi": _serve_sushi}[label](scene, at, size)
    return scene.photograph()


def write_drawn(
    out: Path,
    train_per_class: int = 1200,
    test_per_class: int = 200,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``out/train/CLASS/CLASS-00000.jpg`` … and ``out/test/…``; whole or not at all.

    Args:
        out: a folder that does not exist yet, or an empty one.
        train_per_class: images to draw for training, of each class.
        test_per_class: the same for the test; their seeds are never used for training.
        on_progress: called after each image with the images done and their total.

    Raises:
        FileExistsError: if `out` is there and not empty.
        OSError: if an image cannot be written.
        ValueError: if more images are asked for than there are seeds.

    """
    counts = {"train": train_per_class, "test": test_per_class}
    if any(count > len(SEEDS[split]) for split, count in counts.items()):
        raise ValueError(f"there are {len(TRAIN_SEEDS):,} seeds for each class, and no more")
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty")
    with new_folder(out) as unfinished:
        for split in counts:
            for label in CLASSES:
                (unfinished / split / label).mkdir(parents=True)
        _draw_in_processes(unfinished, counts, on_progress)


def draw_share(folder: Path, counts: dict[str, int], workers: int, worker: int) -> Iterator[None]:
    """Draw every image whose number modulo `workers` is `worker`; yield after each.

    Args:
        folder: has a folder ``SPLIT/CLASS`` for each split and class.
        counts: images of each class, by split.
        workers: processes that share the work.
        worker: 0 to `workers` − 1.

    """
    jobs = (
        (label, number, split)
        for split, count in counts.items()
        for label in CLASSES
        for number in range(count)
    )
    for label, number, split in islice(jobs, worker, None, workers):
        path = folder / split / label / f"{label}-{number:05}.jpg"
        draw_image(label, SEEDS[split][number]).save(path, quality=90)
        yield


def _draw_in_processes(
    folder: Path, counts: dict[str, int], on_progress: Callable[[int, int], None] | None
) -> None:
    """Draw all images in processes that run ``python -m foodvision.drawings``.

    Worker processes of multiprocessing run the caller's script again where they are spawned
    (macOS, Windows), and fail if it has no ``__main__`` guard.
    """
    total = len(CLASSES) * sum(counts.values())
    workers = max(1, min(os.cpu_count() or 1, total // 25))
    command = [sys.executable, "-P", "-m", "foodvision.drawings", str(folder)]
    command += [str(number) for number in (*counts.values(), workers)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)}
    pipe, worker_pipe = os.pipe()  # gets one byte for each image
    with ExitStack() as stack, os.fdopen(pipe, "rb", buffering=0) as finished:
        processes = []
        with os.fdopen(worker_pipe, "wb") as stdout:
            for worker in range(workers):
                process = Popen(
                    [*command, str(worker)], stdout=stdout, stderr=PIPE, text=True, env=environment
                )
                processes.append(stack.enter_context(process))
                stack.callback(process.kill)
        for done in range(1, total + 1):
            if finished.read(1) and on_progress is not None:
                on_progress(done, total)
        for process in processes:
            _, reason = process.communicate()
            if process.returncode:
                raise OSError(reason.strip() or "a process that draws was killed")


# --- The image and the light on it -------------------------------------------------------------


class _Scene:
    """An image that things are laid on one by one, and in the end photographed."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pixels = np.zeros((SIDE, SIDE, 3), np.float32)
        turn = rng.uniform(0, 2 * math.pi)
        self.light = math.cos(turn), math.sin(turn)  # towards the lamp

    def lay(
        self,
        shape: Shape,
        at: tuple[float, float],
        reach: float,
        paint: Paint | Array,
        turn: float = 0.0,
        height: float = 1.5,
    ) -> None:
        """Lay one thing on the image: its shadow, its colours, the light along its edge.

        Args:
            shape: its outline.
            at: where its middle goes, in pixels.
            reach: no part of it is further from the middle than this, in pixels.
            paint: its colours, or the one colour.
            turn: clockwise, in radians.
            height: how far it throws its shadow, in pixels.

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
        below *= 1 - 0.5 * _ramp(0.5 - towards_light / (1.5 * height))[..., None]
        colour = paint(x, y, distance) if callable(paint) else paint
        slope = (towards_light - distance) / height  # 1 faces the lamp, -1 looks away
        glow = 0.4 * slope * np.exp(np.minimum(distance, 0) / (0.7 + 0.7 * height))
        below += _ramp(0.5 - distance)[..., None] * (colour * (1 + glow)[..., None] - below)

    def clouds(self, x: Array, y: Array, cell: float, stretch: float = 1.0) -> Array:
        """Smooth noise of about -1 to 1 with bumps of `cell` pixels, `stretch` times as long."""
        return self._look_up(_clouds(), x * (16 / cell / stretch), y * (16 / cell))

    def grains(self, x: Array, y: Array, cell: float) -> Array:
        """Grains of rice, 0.3 in the cracks to 1 on top, each about `cell` pixels wide."""
        return self._look_up(_grains(), x * (8 / cell), y * (8 / cell))

    def _look_up(self, texture: Array, x: Array, y: Array) -> Array:
        row, column = self.rng.integers(0, len(texture), 2)
        wrap = len(texture) - 1
        return texture[(y + row).astype(np.int32) & wrap, (x + column).astype(np.int32) & wrap]

    def pick(self, names: str, unlike: Array | None = None) -> Array:
        """Choose one of the colours, a little off; clearly another one than `unlike`."""
        choices = names.split()
        for _ in range(8):
            colour = _COLOURS[choices[self.rng.integers(len(choices))]]
            colour = colour * self.rng.uniform(0.8, 1.15) + self.rng.normal(0, 0.03, 3)
            if unlike is None or np.abs(colour - unlike).sum() > 0.7:
                break
        return np.clip(colour, 0.03, 1).astype(np.float32)

    def near(self, at: tuple[float, float], x: float, y: float, turn: float) -> tuple[float, float]:
        """Where the point x, y of a thing lies that was turned and put at `at`."""
        cos, sin = math.cos(turn), math.sin(turn)
        return at[0] + cos * x - sin * y, at[1] + sin * x + cos * y

    def photograph(self) -> Image.Image:
        """Light it, expose it, blur it a little, and return it: RGB."""
        rng = self.rng
        place = np.linspace(-1, 1, SIDE, dtype=np.float32)
        lit = 1 + rng.uniform(0, 0.4) * (self.light[0] * place + self.light[1] * place[:, None])
        pixels = self.pixels * lit[..., None] * np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
        # The camera's own exposure and white balance: they take the class's mean colour away.
        mean = pixels.mean((0, 1))
        grey = mean.mean()
        pixels *= rng.uniform(0.4, 0.6) / (mean**0.9 * grey**0.1)
        pixels = pixels / (1 + pixels**4) ** 0.25
        pixels += rng.uniform(0, 0.02) * rng.standard_normal((SIDE, SIDE, 1), np.float32)
        image = Image.fromarray((255 * _ramp(pixels)).astype(np.uint8))
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.5)))

    # --- What is the same for all three classes

    def set_table(self, at: tuple[float, float], size: float) -> None:
        """Draw table, clutter and plate."""
        rng = self.rng
        wood = self.pick(TABLE)
        other = self.pick(TABLE)
        cell, stretch = rng.uniform(8, 40), rng.choice([1.0, 1.0, 6.0])

        def table(x: Array, y: Array, _: Array) -> Array:
            return _mix(
                wood, 0.75 * wood + 0.25 * other, 0.5 + 0.5 * self.clouds(x, y, cell, stretch)
            )

        self.lay(_disc(2 * SIDE), (SIDE / 2, SIDE / 2), SIDE, table, rng.uniform(0, 6.3), 0.1)
        for _ in range(rng.integers(0, 3)):
            self._drop_clutter()
        plate = self.pick(PLATE)
        rim = self.pick(PLATE) if rng.random() < 0.3 else plate
        reach = size * rng.uniform(1.02, 1.25)
        if rng.random() < 0.6:
            shape = _disc(reach)
        else:
            shape = _box(reach, reach * rng.uniform(0.75, 1), rng.uniform(1, 8))

        def paint(x: Array, y: Array, distance: Array) -> Array:
            well = _ramp(0.5 + distance + reach * 0.14)
            line = np.exp(-np.square(distance + reach * 0.14))
            return _mix(plate, rim, well) * (1 - 0.2 * line)[..., None]

        self.lay(shape, at, reach * 1.42, paint, rng.uniform(0, 6.3), 2.5)

    def _drop_clutter(self) -> None:
        rng = self.rng
        turn = rng.uniform(0, 6.3)
        at = (SIDE / 2 + 46 * math.cos(turn), SIDE / 2 + 46 * math.sin(turn))
        turn += rng.normal(math.pi / 2, 0.4)
        colour = self.pick(ANY)
        kind = rng.integers(4)
        if kind == 0:  # chopsticks, or knife and fork for all one can tell
            for side in (-2.5, 2.5):
                self.lay(_capsule(40, 1.2), self.near(at, 0, side, turn), 42, colour, turn)
        elif kind == 1:  # a dip
            r = rng.uniform(8, 16)
            self.lay(_disc(r), at, r, colour, 0, 3)
            self.lay(_disc(r * 0.8), at, r, self.pick(ANY), 0, 0.5)
        elif kind == 2:
            for _ in range(3):
                x, y = rng.normal(0, 5, 2)
                leaf = self.near(at, x, y, turn)
                self.lay(
                    _leaf(7, 3), leaf, 7, self.pick("herb pesto avocado plum"), rng.uniform(0, 6.3)
                )
        else:  # a napkin
            self.lay(_box(20, 16, 1), at, 26, colour, turn, 1)


# --- Pizza: a round of dough with a rim, strewn with toppings ------------------------------------


def _serve_pizza(scene: _Scene, at: tuple[float, float], size: float) -> None:
    rng = scene.rng
    dough = scene.pick("tan tan butter cream brown charcoal")
    cheese = scene.pick("cream white butter cheddar tomato pesto tan pink")
    sauce = scene.pick("tomato tomato pesto cream brown", unlike=cheese)
    turn = rng.uniform(0, 6.3)
    cut = rng.random()
    if cut < 0.1:  # one slice, its tip where the middle of the whole was
        size *= 1.9
        half = rng.uniform(0.5, 0.62)
        at = scene.near(at, -0.6 * size, 0, turn)
    else:
        half = math.pi if cut < 0.7 else math.pi - rng.uniform(0.25, 0.55)
    whole = _blob(size, rng, 0.02)
    width = rng.uniform(0.1, 0.17) * size

    def outline(x: Array, y: Array) -> Array:
        if half == math.pi:
            return whole(x, y)
        side = np.abs(y) * math.cos(half) - x * math.sin(half)
        return np.maximum(whole(x, y), side)

    def paint(x: Array, y: Array, _: Array) -> Array:
        edge = whole(x, y)
        rim = _ramp(edge + width)
        melted = _mix(cheese, sauce, _ramp(0.1 + 0.9 * scene.clouds(x, y, 6)))
        melted = _mix(melted, sauce, _ramp(edge + width + 2.5))
        round_off = 1 - 0.45 * np.square(1 + 2 * edge / width)
        crust = dough * (round_off + 0.25 * scene.clouds(x, y, 5))[..., None]
        return _mix(melted, crust, rim)

    scene.lay(outline, at, size * 1.1, paint, turn, 2)

    kinds = rng.choice(len(_TOPPINGS), rng.integers(2, 4), replace=False)
    colours = [scene.pick(_TOPPINGS[kind][1], unlike=cheese) for kind in kinds]
    unit = rng.uniform(1.25, 1.65)
    count = int(rng.uniform(0.018, 0.024) * (size / unit) ** 2)
    for i in range(count):  # a sunflower's seeds: even, and yet no grid
        angle = 2.4 * i
        r = (size - width - 3.5 * unit) * math.sqrt((i + 0.5) / count) + rng.normal(0, 1)
        x, y = r * math.cos(angle), r * math.sin(angle)
        if outline(np.asarray(x), np.asarray(y)) < -2 * unit:
            which = rng.integers(len(kinds))
            topping = _TOPPINGS[kinds[which]][0](unit * rng.uniform(0.85, 1.15))
            spot = scene.near(at, x, y, turn)
            colour = colours[which]

            def speckled(x: Array, y: Array, d: Array, colour: Array = colour) -> Array:
                shade = 1 + 0.2 * scene.clouds(x, y, 3) - 0.35 * np.exp(-np.square(d + 0.5))
                return colour * shade[..., None]

            scene.lay(topping, spot, 7 * unit, speckled, rng.uniform(0, 6.3), 1.2)


# --- Steak: one piece of meat with a fat edge, marbling and the marks of the grill ---------------


def _serve_steak(scene: _Scene, at: tuple[float, float], size: float) -> None:
    rng = scene.rng
    meat = scene.pick("seared brown brown raw raw pink tan")
    fat = scene.pick("cream butter tan pink", unlike=meat)
    char = meat * rng.uniform(0.25, 0.45)
    turn = rng.uniform(0, 6.3)
    wobble = _blob(size * 0.92, rng, 0.08)
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
        return _ramp((thickness - ridge) * period * 0.5 + 0.5)

    def paint(x: Array, y: Array, distance: Array) -> Array:
        fibre = scene.clouds(x, y, 3, 3)
        vein = _ramp(0.9 - 9 * np.abs(scene.clouds(x, y, 16)))
        colour = _mix(meat * (1 + 0.25 * fibre)[..., None], fat, 0.7 * vein)
        side = (x * math.cos(fat_side) + y * math.sin(fat_side)) / size
        band = _ramp(distance + fat_width) * _ramp(3 * side + 0.5 + 0.5 * fibre)
        colour = _mix(colour, fat * (1 + 0.1 * fibre)[..., None], band)
        burnt = marks(x, y, grill)
        if crossed:
            burnt = np.maximum(burnt, marks(x, y, grill + 1.4))
        return _mix(colour, char, burnt * (0.8 + 0.2 * fibre) * _ramp(-distance / 3))

    scene.lay(outline, at, size * 1.3, paint, turn, 3.5)
    _garnish(scene, at, size)


def _garnish(scene: _Scene, at: tuple[float, float], size: float) -> None:
    rng = scene.rng
    turn = rng.uniform(0, 6.3)
    kind = rng.integers(4)
    if kind == 0:  # butter
        spot = scene.near(at, size * 0.2, 0, turn)
        scene.lay(_box(5, 4, 1), spot, 7, scene.pick("butter cream avocado"), turn, 2)
    elif kind == 1:  # a sprig of rosemary
        green = scene.pick("herb pesto avocado")
        scene.lay(_capsule(11, 0.6), at, 12, green, turn, 1)
        for i in range(-3, 4):
            for side in (-1, 1):
                spot = scene.near(at, 3.2 * i, 2.2 * side, turn)
                scene.lay(_capsule(2.4, 0.7), spot, 4, green, turn + side * 0.8, 0.8)
    elif kind == 2:  # peppercorns
        colour = scene.pick("charcoal herb pink tomato")
        for _ in range(7):
            x, y = rng.normal(0, size * 0.3, 2)
            spot = scene.near(at, x, y, 0)
            scene.lay(_disc(1.6), spot, 2, colour)


# --- Sushi: rice grains, a dark band of nori, a bright filling; or a slab of fish on rice --------


def _serve_sushi(scene: _Scene, at: tuple[float, float], size: float) -> None:
    rng = scene.rng
    turn = rng.uniform(0, 6.3)
    pitch = rng.uniform(28, 40)
    shift = rng.uniform(0.2, 0.8, 2)
    rice = scene.pick("white white cream cream pink butter tan")
    nori = scene.pick("nori nori charcoal", unlike=rice)
    recipes = [_PIECES[rng.integers(len(_PIECES))] for _ in range(2)]
    fillings = [scene.pick(FILLING, unlike=rice) for _ in range(3)]
    places = np.arange(-3, 4)
    for row in places:
        for column in places:
            x, y = (column + shift[0]) * pitch, (row + shift[1]) * pitch
            if math.hypot(x, y) < size - 0.2 * pitch and rng.random() < 0.95:
                piece = recipes[row % 2]
                piece(scene, scene.near(at, x, y, turn), pitch * 0.48, turn, rice, nori, fillings)


def _roll(
    scene: _Scene,
    at: tuple[float, float],
    r: float,
    turn: float,
    rice: Array,
    nori: Array,
    fillings: list[Array],
    inside_out: bool = False,
) -> None:
    """A slice of a roll seen from above, its rice within the nori or around it."""
    band = (0.5, 0.62) if inside_out else (0.8, 1.1)
    core = 0.32 if not inside_out else 0.42
    cell = 3.0

    def paint(x: Array, y: Array, _: Array) -> Array:
        rho = np.hypot(x, y) / r
        colour = rice * scene.grains(x, y, cell)[..., None] ** 1.4
        wrap = _ramp((rho - band[0]) * r) * _ramp((band[1] - rho) * r)
        colour = _mix(colour, nori * (1 + 0.15 * scene.clouds(x, y, 3))[..., None], wrap)
        first = _mix(fillings[0], fillings[1], _ramp(0.5 + x + 0.1 * r))
        first = _mix(first, fillings[2], _ramp(y - 0.1 * r) * (x < 0))
        first = first * (1 + 0.15 * scene.clouds(x, y, 4))[..., None]
        return _mix(colour, first, _ramp((core - rho) * r + 0.5))

    scene.lay(_disc(r), at, r, paint, turn + scene.rng.uniform(-0.5, 0.5), 3)


def _inside_out(
    scene: _Scene,
    at: tuple[float, float],
    r: float,
    turn: float,
    rice: Array,
    nori: Array,
    fillings: list[Array],
) -> None:
    _roll(scene, at, r, turn, rice, nori, fillings, inside_out=True)


def _nigiri(
    scene: _Scene,
    at: tuple[float, float],
    r: float,
    turn: float,
    rice: Array,
    nori: Array,
    fillings: list[Array],
) -> None:
    """A block of rice under a slab of fish, sometimes tied with nori."""
    cell = 3.0
    scene.lay(
        _box(r, 0.62 * r, 0.4 * r),
        at,
        1.2 * r,
        lambda x, y, d: rice * scene.grains(x, y, cell)[..., None] ** 1.4,
        turn,
        3,
    )
    fish, stripe = fillings[0], _mix(fillings[0], np.ones(3), np.asarray(0.5))
    lean = scene.rng.uniform(-0.5, 0.5)

    def paint(x: Array, y: Array, d: Array) -> Array:
        across = x / (0.36 * r) + lean * np.abs(y) / r * 4
        line = _ramp(1 - 5 * np.abs(across - np.floor(across) - 0.5))
        return _mix(fish, stripe, line)

    spot = scene.near(at, 0, -0.2 * r, turn)
    scene.lay(_box(0.92 * r, 0.42 * r, 0.3 * r), spot, 1.1 * r, paint, turn, 1.5)
    if scene.rng.random() < 0.4:
        scene.lay(_box(0.14 * r, 0.62 * r, 0.5), at, 0.7 * r, nori, turn, 0.8)


_PIECES = (_roll, _roll, _inside_out, _nigiri)

# --- Outlines ------------------------------------------------------------------------------------


def _disc(r: float) -> Shape:
    return lambda x, y: np.hypot(x, y) - r


def _capsule(half: float, r: float) -> Shape:
    return lambda x, y: np.hypot(np.maximum(np.abs(x) - half, 0), y) - r


def _box(half_width: float, half_height: float, corner: float) -> Shape:
    def shape(x: Array, y: Array) -> Array:
        dx, dy = np.abs(x) - (half_width - corner), np.abs(y) - (half_height - corner)
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        return outside + np.minimum(np.maximum(dx, dy), 0) - corner

    return shape


def _leaf(half_length: float, half_width: float) -> Shape:
    r = (half_length**2 + half_width**2) / (2 * half_width)
    return lambda x, y: np.hypot(x, np.abs(y) + (r - half_width)) - r


def _ring(r: float, width: float) -> Shape:
    return lambda x, y: np.abs(np.hypot(x, y) - r) - width


def _strip(r: float, width: float) -> Shape:
    return lambda x, y: np.maximum(np.abs(np.hypot(x, y + r * 0.6) - r) - width, -y)


def _mushroom(r: float) -> Shape:
    cap, stem = _disc(r), _box(r * 0.28, r, 0.5)
    return lambda x, y: np.minimum(np.maximum(cap(x, y), y), stem(x, y))


def _blob(r: float, rng: np.random.Generator, wobble: float) -> Shape:
    """A round whose radius wanders by about `wobble` of itself."""
    waves = [(k, rng.normal(0, wobble / math.sqrt(k)), rng.uniform(0, 6.3)) for k in (2, 3, 4, 6)]

    def shape(x: Array, y: Array) -> Array:
        angle = np.arctan2(y, x)
        swing = sum(size * np.cos(k * angle + phase) for k, size, phase in waves)
        return np.hypot(x, y) - r * (1 + swing)

    return shape


_TOPPINGS: tuple[tuple[Callable[[float], Shape], str], ...] = (
    (lambda unit: _disc(4.8 * unit), "tomato raw salmon brown"),  # salami
    (lambda unit: _disc(2.4 * unit), "charcoal herb plum"),  # olives
    (lambda unit: _strip(5 * unit, 1.1 * unit), "herb cheddar tomato avocado"),  # pepper
    (lambda unit: _mushroom(4 * unit), "cream tan brown white"),
    (lambda unit: _leaf(5.5 * unit, 2.2 * unit), "herb pesto avocado"),  # basil
    (lambda unit: _box(3.4 * unit, 3.4 * unit, 0.8 * unit), "pink raw butter seared"),  # ham
)

# --- Colours and textures ------------------------------------------------------------------------

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
ANY = " ".join(_COLOURS)
TABLE = "tan brown slate blue charcoal cream herb tomato"
PLATE = "white cream blue slate charcoal tan brown"
FILLING = "salmon raw tomato cheddar butter avocado herb pink plum cream brown"


def _ramp(values: Array) -> Array:
    """Clip to 0-1."""
    return np.minimum(np.maximum(values, 0), 1)


def _mix(a: Array, b: Array, share: Array) -> Array:
    """From a to b, where share goes from 0 to 1."""
    return a + (b - a) * np.asarray(share)[..., None]


@cache
def _clouds() -> Array:
    """256 × 256 of smooth noise with bumps of 16 pixels; the edges fit together."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)) * 16
    spectrum = np.fft.fft2(rng.standard_normal((256, 256))) * np.exp(-np.square(2 * frequency))
    noise = np.fft.ifft2(spectrum).real
    return (noise / (2 * noise.std())).astype(np.float32)


@cache
def _grains() -> Array:
    """256 × 256 of grains, 8 pixels wide and 14 long, heaped; the edges fit together."""
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
