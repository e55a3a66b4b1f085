"""Drawn images of pizza, steak and sushi: a dataset that needs no download.

A label and a seed go in, a small image comes out; `write_drawn` writes a folder of them, enough to
train a network in minutes. A score on these drawings shows that the code works; it says nothing
about photographs of food.

All three classes share the same wide range of colours (charcoal dough, pale and raw steak, purple
rice, coloured light), and position, size and rotation are random, so only structure separates
them. A linear model on pixels or on colours stays far behind; a test proves it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np
from PIL import Image

from foodvision.drawings.pizza import serve_pizza
from foodvision.drawings.scene import SIDE, Scene, set_table
from foodvision.drawings.steak import serve_steak
from foodvision.drawings.sushi import serve_sushi
from foodvision.files.atomic import new_folder

_SERVE = {"pizza": serve_pizza, "steak": serve_steak, "sushi": serve_sushi}

NAME = "drawn"
"""Of the dataset, wherever data is named."""

CLASSES = tuple(_SERVE)
SEEDS = {"train": range(1_000_000), "test": range(1_000_000, 2_000_000)}


def draw_image(label: str, seed: int) -> Image.Image:
    """Draw one image: RGB, 96 × 96 pixels.

    Args:
        label: one of `CLASSES`.
        seed: 0 or more. The same label and seed always give the same pixels.

    Raises:
        ValueError: if the label is unknown or the seed negative.

    """
    if label not in CLASSES:
        raise ValueError(f"cannot draw {label!r}, only {', '.join(CLASSES)}")
    rng = np.random.default_rng([CLASSES.index(label), seed])
    scene = Scene(rng)
    x, y = SIDE / 2 + rng.uniform(-20, 20, 2)
    at = float(x), float(y)
    size = rng.uniform(44, 62)
    set_table(scene, at, size)
    _SERVE[label](scene, at, size)
    return scene.photograph()


def write_drawn(
    out: Path,
    train_per_class: int = 1200,
    test_per_class: int = 200,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``out/train/CLASS/CLASS-00000.jpg`` … and ``out/test/…``, all or nothing.

    Args:
        out: a folder that does not exist yet, or an empty one.
        train_per_class: images to draw for training, of each class.
        test_per_class: images to draw for the test split, whose seeds are never used for training.
        on_progress: called after each image with the number of images done and the total.

    Raises:
        FileExistsError: if `out` exists and is not empty.
        OSError: if an image cannot be written.
        ValueError: if there are fewer seeds than images.

    """
    counts = {"train": train_per_class, "test": test_per_class}
    if any(count > len(SEEDS[split]) for split, count in counts.items()):
        raise ValueError(f"at most {len(SEEDS['train']):,} images per class and split")
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

    Where multiprocessing spawns its workers (macOS, Windows), each one first runs the caller's
    script again, which fails without a ``__main__`` guard.
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
                raise OSError(reason.strip() or "a drawing process was killed")
