"""Images in class folders, with or without folders of splits above them.

A folder comes in; a `Dataset` whose labels are the names of the class folders goes out. No image
is opened.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from foodvision.data.dataset import FLAT, UNLABELLED, Dataset, LabelledImages, split_of
from foodvision.data.stores import FolderStore
from foodvision.errors import DataError
from foodvision.images.files import (
    files_below,
    is_image,
    itself_and_above,
    suffix_of,
    visible_entries,
    warn_of_left_out,
)
from foodvision.text import list_names

log = logging.getLogger(__name__)


def from_folder(given: Path, strict: bool = True, labelled: bool = True) -> Dataset:
    """List the images of a folder of class folders.

    Args:
        given: holds class folders, or split folders (see `split_of`) with class folders in them,
            or a single folder that holds either.
        strict: False keeps an empty class folder among the training images as a class.
        labelled: False also takes the images that are in no class folder, as `UNLABELLED`.

    Raises:
        DataError: if there are no class folders, or one of them is empty; unlabelled, if there are
            no images.

    """
    root = _unwrapped(given)
    found: dict[str, list[tuple[str, str]]] = {}  # split -> (class, name)
    left_out: list[Path] = []
    empty: set[str] = set()
    split_folders = _split_folders(root)
    if FLAT not in split_folders:
        ignored = [path.name for path in _folders_in(root) if path not in split_folders.values()]
        if ignored:
            log.warning("%s: not a split, ignored: %s", root, ", ".join(ignored))
    elif (classes := _folders_in(root)) and all(
        any(split_of(inner.name) for inner in _folders_in(folder)) for folder in classes
    ):
        log.warning("%s: splits inside the class folders are read as one", root)
    for split, folder in split_folders.items():
        found[split] = []
        for class_folder in _folders_in(folder):
            files = list(files_below(class_folder))
            images = [path for path in files if is_image(path)]
            left_out += [path for path in files if not is_image(path)]
            # An empty class folder among the training images is a mistake.
            if labelled and not images and split in ("train", FLAT):
                if strict:
                    raise DataError(f"{class_folder}: no images; remove the folder or fill it")
                empty.add(class_folder.name)
            names = [path.relative_to(root).as_posix() for path in images]
            found[split] += [(class_folder.name, name) for name in names]
        names = [path.relative_to(root).as_posix() for path in _loose_in(folder)]
        if not labelled:
            found[split] += [(UNLABELLED, name) for name in names]
        loose = len(names) if labelled else 0
        if loose and not found[split] and split != "train" and "train" in split_folders:
            # As in many competitions, whose test images have no labels.
            log.warning("%s: no class folders, left out: %d images", folder, loose)
            del found[split]
            continue
        if not found[split]:
            hint = "; put each class in a folder of its own" if loose else ""
            wanted = "class folders with images" if labelled else "images"
            raise DataError(f"{folder}: no {wanted}{hint}")
        if loose:
            log.warning("%s: images outside the class folders, left out: %d", folder, loose)
    warn_of_left_out(str(root), Counter(map(suffix_of, left_out)))
    dataset = dataset_of_files(given.resolve().name, root, found, empty)
    return replace(dataset, left_out=left_out)


def dataset_of_files(
    name: str,
    root: Path,
    found: dict[str, list[tuple[str, str]]],
    empty: Collection[str] = (),
) -> Dataset:
    """Build a dataset from image files.

    Args:
        name: of the dataset.
        root: the folder that contains the files.
        found: for each split, the class of each image and its path below `root`.
        empty: classes that have no training image.

    """
    # The classes of the training images, then those that only other splits have (an error).
    reference = {label for label, _ in found.get("train") or found.get(FLAT) or []} | {*empty}
    every = {label for rows in found.values() for label, _ in rows}
    classes = (*sorted(reference), *sorted(every - reference))
    number = {label: i for i, label in enumerate(classes)}
    splits = {}
    for split, rows in found.items():
        labels = np.array([number[label] for label, _ in rows], dtype=np.int64)
        splits[split] = LabelledImages(
            FolderStore(root, [name for _, name in rows]), classes, labels
        )
    return Dataset(name, classes, splits, root)


def has_class_folders(root: Path) -> bool:
    """Whether a folder, or one of its splits, has two or more folders of images."""
    return any(
        sum(map(_has_images, _folders_in(folder))) > 1 for folder in _split_folders(root).values()
    )


def _unwrapped(given: Path) -> Path:
    """Descend while there is a single folder, as archives often unpack to; stop at a class."""
    root = given
    while len(folders := _folders_in(root)) == 1 and not _loose_in(root):
        (inner,) = folders
        if split_of(inner.name) or _loose_in(inner) or not _holds_classes(inner):
            break
        root = inner
    return root


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split, or `root` as the only one if it holds the classes itself.

    A folder with the name of a split is a class if it holds images directly beside other classes:
    ``test`` beside ``control``, ``train`` beside ``plane`` and ``car``.
    """
    folders = _folders_in(root)
    named = [folder for folder in folders if split_of(folder.name)]
    others = [folder for folder in folders if folder not in named]
    certain = {split_of(folder.name) for folder in named if _holds_classes(folder)}
    if not named or ("train" not in certain and any(map(_has_images, others))):
        return {FLAT: root}
    if len(named) == 1 and sum(map(_has_images, others)) > 1:
        raise DataError(
            f"{root}: {named[0].name} holds folders of images, as a split does, and "
            f"{list_names([folder.name for folder in others])} hold images as well; if it is a "
            "class, put its images directly into it, else move the others away"
        )
    splits: dict[str, Path] = {}
    for folder in named:
        split = split_of(folder.name) or ""
        if split in splits:
            raise DataError(f"{root}: both {splits[split].name} and {folder.name} are {split}")
        splits[split] = folder
    return splits


def _holds_classes(folder: Path) -> bool:
    return any(map(_has_images, _folders_in(folder)))


def _has_images(folder: Path) -> bool:
    return any(map(is_image, files_below(folder)))


def _loose_in(folder: Path) -> list[Path]:
    """The images that are in a folder and not in its subfolders, sorted."""
    files = (Path(entry) for entry in visible_entries(folder) if not entry.is_dir())
    return [path for path in files if is_image(path)]


def _folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without links to itself or to a folder above it."""
    above = itself_and_above(folder)
    folders = [entry for entry in visible_entries(folder) if entry.is_dir()]
    return [Path(e) for e in folders if not (e.is_symlink() and os.path.realpath(e) in above)]
