"""Images in class folders, with or without folders of splits above them.

A folder comes in; a `Dataset` whose labels are the names of the class folders goes out. No image
is opened.
"""

from __future__ import annotations

import csv
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from foodvision.data.dataset import FLAT, SPLIT_NAMES, Dataset, FolderStore, LabelledImages
from foodvision.errors import DataError
from foodvision.images.decode import SUFFIXES

log = logging.getLogger(__name__)

SPLIT_CSV = "split.csv"
"""File in a flat folder that says which image is in which split (`foodvision data split`)."""


def from_folder(root: Path, follow_split_csv: bool = True) -> Dataset:
    """List the images of a folder of class folders.

    Args:
        root: holds class folders, or ``train``, ``val`` (or ``valid``, ``validation``) and
            ``test`` with class folders in them.
        follow_split_csv: take the splits of a flat folder from its split.csv, if it has one.

    Raises:
        DataError: if there are no class folders, one of them is empty, or split.csv is out of date.

    """
    found: dict[str, list[tuple[str, str]]] = {}  # split -> (class, name)
    left_out: list[Path] = []
    for split, folder in _split_folders(root).items():
        found[split] = []
        for class_folder in _folders_in(folder):
            files = list(files_below(class_folder))
            images = [path for path in files if is_image(path)]
            left_out += [path for path in files if not is_image(path)]
            # An empty class folder among the training images is a mistake.
            if not images and split in ("train", FLAT):
                raise DataError(f"{class_folder}: no images; remove the folder or fill it")
            names = [path.relative_to(root).as_posix() for path in images]
            found[split] += [(class_folder.name, name) for name in names]
        if not found[split]:
            loose = any(is_image(path) for path in folder.iterdir())
            hint = "; put each class in a folder of its own" if loose else ""
            raise DataError(f"{folder}: no class folders with images{hint}")
    warn_of_left_out(str(root), left_out)
    if follow_split_csv and FLAT in found and (root / SPLIT_CSV).is_file():
        found = _assigned_by_csv(root, found[FLAT])
    classes = _class_names(found)
    splits = {}
    for split, rows in found.items():
        store = FolderStore(root, [name for _, name in rows])
        labels = np.array([classes.index(label) for label, _ in rows])
        splits[split] = LabelledImages(store, classes, labels)
    return Dataset(root.resolve().name, classes, splits, root)


def _split_folders(root: Path) -> dict[str, Path]:
    folders = _folders_in(root)
    splits: dict[str, Path] = {}
    for folder in folders:
        split = SPLIT_NAMES.get(folder.name.lower())
        if split in splits:
            raise DataError(f"{root}: both {splits[split].name} and {folder.name} are {split}")
        if split:
            splits[split] = folder
    if not splits:
        return {FLAT: root}
    if ignored := [folder.name for folder in folders if folder not in splits.values()]:
        log.warning("%s: not a split, ignored: %s", root, ", ".join(ignored))
    return splits


def _folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; without hidden ones and those that macOS adds to zips."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
    )


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and its subfolders, sorted, without hidden ones."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent) / name


def is_image(path: Path) -> bool:
    """Whether the suffix is one of an image format that is supported."""
    return path.suffix.lower() in SUFFIXES


def warn_of_left_out(where: str, files: Collection[Path]) -> None:
    """Log how many files are left out because of their suffix, in one line."""
    if files:
        counts = Counter(path.suffix.lower() or "without a suffix" for path in files)
        listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
        noun = "file" if len(files) == 1 else "files"
        reason = "left out, whose suffix is not that of an image"
        log.warning("%s: %d %s %s: %s", where, len(files), noun, reason, listed)


def _assigned_by_csv(root: Path, rows: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Assign the images to the splits that split.csv names."""
    with (root / SPLIT_CSV).open(newline="", encoding="utf-8") as file:
        assigned = {row.get("name"): row.get("split") for row in csv.DictReader(file)}
    splits: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for label, name in rows:
        split = assigned.get(name)
        if split not in ("train", "validation", "test"):
            raise DataError(
                f"{root / SPLIT_CSV}: has no row for {name}; delete it and run `data split` again"
            )
        splits[split].append((label, name))
    return splits


def _class_names(found: dict[str, list[tuple[str, str]]]) -> tuple[str, ...]:
    """The classes of the training images, then those that only other splits have (an error)."""
    reference = {label for label, _ in found.get("train") or found.get(FLAT) or []}
    every = {label for rows in found.values() for label, _ in rows}
    return (*sorted(reference), *sorted(every - reference))
