"""split.csv in a flat folder: the split of each image, and the rule that assigned it.

`foodvision data split` writes it and every later load follows it. Because it also records the seed
and the shares, images that are added later can be placed without moving others.
"""

from __future__ import annotations

import csv
import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

from foodvision.data.dataset import FLAT, SPLITS, Dataset
from foodvision.data.inventory import take_inventory, warn_of_identical
from foodvision.data.splits import carve, choose_split, to_csv
from foodvision.errors import DataError
from foodvision.files.atomic import cannot_write, replacing
from foodvision.files.read import open_csv
from foodvision.text import from_cell

log = logging.getLogger(__name__)

SPLIT_CSV = "split.csv"


def split_folder(
    dataset: Dataset, seed: int, fractions: Mapping[str, float], force: bool = False
) -> Dataset:
    """Write split.csv into a flat folder; `load_dataset` follows it from then on.

    Args:
        dataset: loaded with ``follow_split_csv=False``.
        seed: of `carve`.
        fractions: of `carve`.
        force: replace an existing split.csv and keep it as split.csv.bak.

    Returns:
        The dataset with the new splits.

    Raises:
        DataError: if the dataset has splits already, is not a folder, cannot be written to, or has
            a split.csv and `force` is False.

    """
    if FLAT not in dataset.splits:
        raise DataError(f"{dataset.name}: has splits already: {', '.join(dataset.splits)}")
    if dataset.root is None:
        raise DataError(
            f"{dataset.name}: split.csv is for image files, not for rows of Parquet files"
        )
    path = dataset.root / SPLIT_CSV
    if path.exists() and not force:
        raise DataError(f"{path}: exists already; --force replaces it and keeps a backup")
    images = dataset.splits[FLAT]
    inventory = take_inventory(images)
    warn_of_identical(dataset.name, {FLAT: inventory})
    assigned = carve(inventory.sha256, inventory.images.labels.tolist(), seed, fractions)
    # An image that cannot be opened is listed too: training will report it.
    found = zip(inventory.images.names(), inventory.sha256, assigned, strict=True)
    split_by_name = {name: (digest, split) for name, digest, split in found}
    rows = [
        (name, int(label), *split_by_name.get(name, ("", "train")))
        for name, label in zip(images.names(), images.labels, strict=True)
    ]
    try:
        with replacing(path) as temporary:
            text = to_csv(rows, dataset.classes, _rule(seed, fractions))
            temporary.write_text(text, "utf-8", "surrogateescape", newline="")
            if path.exists():
                log.info("the old split.csv is now %s", _backed_up(path))
    except OSError as error:
        raise DataError(cannot_write(path, error)) from error
    return _divided(dataset, [split for *_, split in rows])


def follow(dataset: Dataset) -> Dataset:
    """Divide a flat dataset as its split.csv says; without one, return it unchanged.

    An image without a row is read and hashed: it joins the split of an identical image, or else
    the one that the recorded seed and shares give its bytes.

    Raises:
        DataError: if split.csv cannot be read, or has no row for an image and no seed.

    """
    if dataset.root is None or not (path := dataset.root / SPLIT_CSV).exists():
        return dataset
    images = dataset.splits[FLAT]
    names = images.names()
    split_by_name: dict[str, str] = {}
    split_by_digest: dict[str, str] = {}
    rule, gone, first_gone = "", 0, ""
    try:
        known = set(names)
        for row in open_csv(path):
            name = from_cell(row.get("name") or "")
            split, digest, rule = row.get("split"), row.get("sha256"), row.get("rule") or rule
            if split not in SPLITS:
                raise ValueError(f"{name}: {split or 'no split'} is not {', '.join(SPLITS)}")
            if digest and len(digest) == 64:  # shorter ones could be many: they would fill memory
                split_by_digest[digest] = split
            if name in known:
                split_by_name[name] = split
            else:
                gone, first_gone = gone + 1, first_gone or name
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason})") from error
    if gone:
        log.warning("%s: images that no longer exist: %d, such as %s", path, gone, first_gone)
    if added := [i for i, name in enumerate(names) if name not in split_by_name]:
        seed, fractions = _parsed(path, rule, names[added[0]])
        inventory = take_inventory(images.subset(added), opened=False)
        split_by_name |= {names[i]: "train" for i in added}  # which reports those without a hash
        for name, digest in zip(inventory.images.names(), inventory.sha256, strict=True):
            split = split_by_digest.get(digest) or choose_split(seed, digest, fractions)
            split_by_name[name] = split
        placed = Counter(split_by_name[names[i]] for i in added)
        where = ", ".join(f"{placed[split]} in {split}" for split in SPLITS if placed[split])
        log.warning("%s: new images, placed by seed and content: %s", path, where)
    return _divided(dataset, [split_by_name[name] for name in names])


def _divided(dataset: Dataset, assigned: Sequence[str]) -> Dataset:
    """Divide a flat dataset, given the split of each image."""
    images = dataset.splits[FLAT]
    positions: dict[str, list[int]] = {}
    for i, split in enumerate(assigned):
        positions.setdefault(split, []).append(i)
    splits = {split: images.subset(chosen) for split, chosen in positions.items()}
    return replace(dataset, splits=splits)


def _backed_up(path: Path) -> Path:
    """Copy a file to the first free name beside it."""
    names = chain([".bak"], (f".bak{number}" for number in count(2)))
    backup = next(file for end in names if not (file := path.with_name(path.name + end)).exists())
    return Path(shutil.copy2(path, backup))


def _rule(seed: int, fractions: Mapping[str, float]) -> str:
    return " ".join([f"seed={seed}", *(f"{split}={share!r}" for split, share in fractions.items())])


def _parsed(path: Path, rule: str, name: str) -> tuple[int, dict[str, float]]:
    """The seed and the shares that `_rule` wrote, to place the image of this name."""
    try:
        values = dict(part.split("=") for part in rule.split())
        seed = int(values.pop("seed"))
        return seed, {split: float(share) for split, share in values.items() if split in SPLITS}
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: has no row for {name}, and no seed to place it by; add a row, or run "
            "'foodvision data split --force'"
        ) from error
