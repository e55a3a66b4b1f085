"""split.csv in a flat folder: the split of each image, and the rule that assigned it.

`foodvision data split` writes it and every later load follows it. Because it also records the seed
and the shares, images that are added later can be placed without moving others.
"""

from __future__ import annotations

import csv
import logging
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path

from foodvision.data.dataset import FLAT, SPLITS, Dataset
from foodvision.data.duplicates import find_duplicates
from foodvision.data.inventory import take_inventory, warn_of_identical
from foodvision.data.splits import SPLIT_CSV, carve, choose_split, to_csv
from foodvision.errors import DataError
from foodvision.files.atomic import cannot_write, replacing
from foodvision.files.read import open_csv
from foodvision.text import from_cell, list_names

log = logging.getLogger(__name__)

LEFT_OUT = "left out"
"""In the column ``split``: a new image whose near-duplicates are in different splits."""


def split_folder(
    dataset: Dataset,
    seed: int,
    fractions: Mapping[str, float],
    force: bool = False,
    near: bool = True,
) -> Dataset:
    """Write split.csv into a flat folder; `load_dataset` follows it from then on.

    Images that show the same photograph (see `find_duplicates`) get one split. A split.csv that has
    no row for some images is extended: no other image moves, the new ones follow their duplicates,
    or else the recorded seed and shares. `LEFT_OUT` are those whose duplicates have several splits.

    Args:
        dataset: loaded with ``follow_split_csv=False``.
        seed: of `carve`.
        fractions: of `carve`.
        force: replace an existing split.csv.
        near: False looks for identical files only.

    Returns:
        The dataset with the new splits. A split.csv that was there is kept as split.csv.bak.

    Raises:
        DataError: if the dataset has splits already, is not a folder, cannot be written to, or has
            a split.csv with all images and `force` is False.

    """
    if FLAT not in dataset.splits:
        raise DataError(f"{dataset.name}: has splits already: {', '.join(dataset.splits)}")
    if dataset.root is None:
        raise DataError(
            f"{dataset.name}: split.csv is for image files, not for rows of Parquet files"
        )
    path, images = dataset.root / SPLIT_CSV, dataset.splits[FLAT]
    names, table = images.names(), _Table()
    extends = path.exists() and not force
    if extends:
        table = _read(path, names)
        if all(name in table.by_name for name in names):
            raise DataError(f"{path}: exists already; --force replaces it and keeps a backup")
        seed, fractions = _parsed(path, table.rule, names, table.by_name)
    inventory = take_inventory(images, sketched=near)
    warn_of_identical(dataset.name, {FLAT: inventory})
    opened, digests = inventory.images.names(), inventory.sha256
    groups = find_duplicates(digests, inventory.sketches).groups()
    _log_groups(dataset.name, opened, digests, groups)
    keys = _keys(digests, groups)
    if extends:
        assigned = _extended(path, table, opened, digests, keys, seed, fractions)
    else:
        assigned = carve(keys, inventory.images.labels.tolist(), seed, fractions)
    # An image that cannot be opened is listed too: training will report it.
    placed = dict(zip(opened, zip(digests, assigned, strict=True), strict=True))
    rows = [
        (name, dataset.classes[label], *placed.get(name, ("", table.by_name.get(name, "train"))))
        for name, label in zip(names, images.labels.tolist(), strict=True)
    ]
    text = to_csv([*rows, *table.gone], _rule(seed, fractions, near))
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, "utf-8", "surrogateescape", newline="")
            if path.exists():
                log.info("the old split.csv is now %s", _backed_up(path))
    except OSError as error:
        raise DataError(cannot_write(path, error)) from error
    return _divided(dataset, [split for *_, split in rows])


def follow(dataset: Dataset) -> Dataset:
    """Divide a flat dataset as its split.csv says; without one, return it unchanged.

    An image without a row is read and hashed: it joins the split of an identical image, or else
    the one that the recorded seed and shares give its bytes. Near-duplicates are not looked for,
    which would take a pass over all images: `split_folder` does.

    Raises:
        DataError: if split.csv cannot be read, or has no row for an image and no seed.

    """
    if dataset.root is None or not (path := dataset.root / SPLIT_CSV).exists():
        return dataset
    images = dataset.splits[FLAT]
    names = images.names()
    table = _read(path, names)
    split_by_name = table.by_name
    if table.gone:
        first, *_ = table.gone[0]
        number = len(table.gone)
        log.warning("%s: images that no longer exist: %d, such as %s", path, number, first)
    if added := [i for i, name in enumerate(names) if name not in split_by_name]:
        seed, fractions = _parsed(path, table.rule, names, split_by_name)
        inventory = take_inventory(images.subset(added), opened=False)
        split_by_name |= {names[i]: "train" for i in added}  # which reports those without a hash
        for name, digest in zip(inventory.images.names(), inventory.sha256, strict=True):
            split = table.by_digest.get(digest) or choose_split(seed, digest, fractions)
            split_by_name[name] = split
        placed = Counter(split_by_name[names[i]] for i in added)
        parts = [f"{placed[split]} in {split}" for split in SPLITS if placed[split]]
        parts += [f"{placed[LEFT_OUT]} {LEFT_OUT}"] if placed[LEFT_OUT] else []
        log.warning(
            "%s: new images, placed by seed and content: %s; 'foodvision data split' records them, "
            "beside their near-duplicates",
            *(path, ", ".join(parts)),
        )
    if left_out := [name for name in names if split_by_name[name] == LEFT_OUT]:
        number, first = len(left_out), left_out[0]
        log.warning("%s: images that are left out: %d, such as %s", path, number, first)
    return _divided(dataset, [split_by_name[name] for name in names])


@dataclass
class _Table:
    """What split.csv says.

    Attributes:
        by_name: the split of each image that exists.
        by_digest: the split of each SHA-256.
        gone: name, class, SHA-256 and split of the images that no longer exist.
        rule: see `_rule`; empty if there is none.

    """

    by_name: dict[str, str] = field(default_factory=dict)
    by_digest: dict[str, str] = field(default_factory=dict)
    gone: list[tuple[str, str, str, str]] = field(default_factory=list)
    rule: str = ""


def _read(path: Path, names: Sequence[str]) -> _Table:
    table, known = _Table(), set(names)
    try:
        for row in open_csv(path):
            name, digest = from_cell(row.get("name") or ""), row.get("sha256") or ""
            split, table.rule = row.get("split") or "", row.get("rule") or table.rule
            if split not in (*SPLITS, LEFT_OUT):
                raise ValueError(f"{name}: {split or 'no split'} is not {', '.join(SPLITS)}")
            if len(digest) == 64:  # shorter ones could be many: they would fill memory
                table.by_digest[digest] = split
            if name in known:
                table.by_name[name] = split
            else:
                table.gone.append((name, from_cell(row.get("class") or ""), digest, split))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason})") from error
    return table


def _keys(digests: Sequence[str], groups: Sequence[Sequence[int]]) -> list[str]:
    """By which each image is placed: the smallest SHA-256 of its group, or its own."""
    keys = list(digests)
    for group in groups:
        smallest = min(digests[i] for i in group)
        for i in group:
            keys[i] = smallest
    return keys


def _extended(
    path: Path,
    table: _Table,
    names: Sequence[str],
    digests: Sequence[str],
    keys: Sequence[str],
    seed: int,
    fractions: Mapping[str, float],
) -> list[str]:
    """The split of each image, given those that have one: none of these moves."""
    known: dict[str, set[str]] = {}
    for name, digest, key in zip(names, digests, keys, strict=True):
        split = table.by_name.get(name) or table.by_digest.get(digest, LEFT_OUT)
        known.setdefault(key, set()).update({split} - {LEFT_OUT})
    assigned = []
    for name, key in zip(names, keys, strict=True):
        of_group = next(iter(known[key]), None) or choose_split(seed, key, fractions)
        assigned.append(table.by_name.get(name, LEFT_OUT if len(known[key]) > 1 else of_group))
    new = [i for i, name in enumerate(names) if name not in table.by_name]
    if left_out := [names[i] for i in new if assigned[i] == LEFT_OUT]:
        shown = list_names(left_out)
        log.warning("%s: left out, for near-duplicates in several splits: %s", path, shown)
    if straddling := sum(len(splits) > 1 for splits in known.values()):
        log.warning(
            "%s: groups of near-duplicates in several splits: %d; --force splits them anew",
            *(path, straddling),
        )
    return assigned


def _log_groups(
    name: str, files: Sequence[str], digests: Sequence[str], groups: Sequence[Sequence[int]]
) -> None:
    near = [group for group in groups if len({digests[i] for i in group}) > 1]
    if near:
        first, other, *_ = near[0]
        log.info(
            "%s: near-duplicates, which get one split: %d groups (%d images), such as %s and %s",
            *(name, len(near), sum(map(len, near)), files[first], files[other]),
        )


def _divided(dataset: Dataset, assigned: Sequence[str]) -> Dataset:
    """Divide a flat dataset, given the split of each image."""
    images = dataset.splits[FLAT]
    positions: dict[str, list[int]] = {}
    for i, split in enumerate(assigned):
        if split != LEFT_OUT:
            positions.setdefault(split, []).append(i)
    splits = {split: images.subset(chosen) for split, chosen in positions.items()}
    return replace(dataset, splits=splits)


def _backed_up(path: Path) -> Path:
    """Copy a file to the first free name beside it."""
    names = chain([".bak"], (f".bak{number}" for number in count(2)))
    backup = next(file for end in names if not (file := path.with_name(path.name + end)).exists())
    return Path(shutil.copy2(path, backup))


def _rule(seed: int, fractions: Mapping[str, float], near: bool) -> str:
    """Such as ``seed=0 test=0.15 validation=0.15 together=near-duplicates``."""
    shares = (f"{split}={share!r}" for split, share in fractions.items())
    return " ".join(
        [f"seed={seed}", *shares, f"together={'near-duplicates' if near else 'copies'}"]
    )


def _parsed(
    path: Path, rule: str, names: Sequence[str], placed: Collection[str]
) -> tuple[int, dict[str, float]]:
    """The seed and the shares that `_rule` wrote, to place the images that are not yet."""
    try:
        values = dict(part.split("=") for part in rule.split())
        seed = int(values.pop("seed"))
        return seed, {split: float(share) for split, share in values.items() if split in SPLITS}
    except (KeyError, ValueError) as error:
        name = next(name for name in names if name not in placed)
        raise DataError(
            f"{path}: has no row for {name}, and no seed to place it by; add a row, or run "
            "'foodvision data split --force'"
        ) from error
