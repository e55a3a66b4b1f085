"""From what the user typed to a `Dataset`: a folder, Parquet files, the Hub, or a name.

The datasets that have a name (our drawings, Food-101 and its cuts) are written into a folder: the
cache on first use, or where `get_data` is told to.
"""

from __future__ import annotations

import glob
import logging
from pathlib import Path

from filelock import FileLock

from foodvision.data.dataset import FLAT, SPLIT_NAMES, Dataset
from foodvision.data.folder import from_folder
from foodvision.data.food101 import RELEASES, SHARES, cut_mini, get_food101
from foodvision.data.parquet import from_hub, from_parquet
from foodvision.drawings.draw import write_drawn
from foodvision.errors import DataError
from foodvision.files.atomic import cache_folder, cannot_write
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

NAMES = ("drawn", *RELEASES)
"""The datasets that are fetched by name."""


def load_dataset(data: str | Path, follow_split_csv: bool = True) -> Dataset:
    """List the images of a dataset and check its classes. Opens no image.

    Args:
        data: one of `NAMES`, fetched into the cache folder on first use (for a folder of that
            name, type ``./NAME``); a folder of class folders (see `from_folder`); a folder or a
            glob of Parquet files; ``hub:OWNER/NAME[:CONFIG]``.
        follow_split_csv: take the splits of a flat folder from its split.csv, if it has one.

    Raises:
        DataError: if `data` is none of these, cannot be fetched, or has unusable classes.
        MissingExtraError: if Parquet files or the Hub need `datasets` and it is not installed.

    """
    text = str(data)
    if text in NAMES:
        dataset = from_folder(_cached(text))
    elif text.startswith("hub:"):
        dataset = from_hub(text.removeprefix("hub:"))
    elif text.endswith(".parquet"):
        files = sorted(Path(name) for name in glob.glob(text, recursive=True))  # noqa: PTH207
        dataset = from_parquet(text, files)
    elif (folder := Path(text)).is_dir():
        files = sorted([*folder.glob("*.parquet"), *folder.glob("data/*.parquet")])
        dataset = from_parquet(text, files) if files else from_folder(folder, follow_split_csv)
    else:
        raise DataError(
            f"{text}: no such folder; DATA is a folder of class folders, or {', '.join(NAMES)}"
        )
    if dataset.splits.keys() & set(SPLIT_NAMES.values()) == {"train", "validation"}:
        # As in ethz/food101, whose held-out images are named validation.
        log.warning("%s: train and validation only: validation is held out as the test", text)
        dataset.splits["test"] = dataset.splits.pop("validation")
    for split in [name for name, images in dataset.splits.items() if not len(images)]:
        del dataset.splits[split]  # without labels; not before, or validation would be the test
    _check_classes(text, dataset)
    return dataset


def get_data(name: str, out: Path, source: str | None = None, seed: int = 0) -> None:
    """Write one of `NAMES` into a folder, completely or not at all, with a progress bar.

    Args:
        name: ``drawn`` (see `foodvision.drawings.draw`), ``mini``, ``mini20`` or ``big`` (see
            `foodvision.data.food101`).
        out: a folder that does not exist yet, or an empty one.
        source: a Food-101, as `load_dataset` takes it, to cut ``mini`` or ``mini20`` from; None
            fetches the course's.
        seed: of that cut.

    Raises:
        DataError: if there is no such dataset, it cannot be fetched, or `out` cannot be written.

    """
    if name not in NAMES:
        raise DataError(f"no dataset is named {name!r}; the names are {', '.join(NAMES)}")
    if source and name not in SHARES:
        raise DataError(f"{name} cannot be cut from {source}: only {', '.join(SHARES)} can")
    if out.exists() and (not out.is_dir() or any(out.iterdir()) or out.is_mount()):
        state = "is where a disk is mounted" if out.is_mount() else "is not empty"
        raise DataError(f"{out}: {state}; choose another folder")
    try:
        if name == "drawn":
            with progress_bar() as bar:
                task = bar.add_task("drawing", total=None, unit="images", info="")
                write_drawn(out, on_progress=lambda n, of: bar.update(task, completed=n, total=of))
        elif source:
            cut_mini(load_dataset(source), out, SHARES[name], seed)
        else:
            get_food101(name, out)
    except OSError as error:
        raise DataError(cannot_write(out, error)) from error


def _cached(name: str) -> Path:
    """The cache folder of a named dataset, written on first use."""
    base = cache_folder()
    folder = base / name
    if folder.exists():
        return folder
    try:
        base.mkdir(parents=True, exist_ok=True)
        # The processes of a distributed run all arrive here at the same time.
        with FileLock(base / f".{name}.lock"):
            if not folder.exists():
                get_data(name, folder)
    except OSError as error:
        raise DataError(cannot_write(base, error)) from error
    return folder


def _check_classes(text: str, dataset: Dataset) -> None:
    usual = (FLAT, *SPLIT_NAMES.values())
    counts = {name: images.counts() for name, images in dataset.splits.items() if name in usual}
    reference = counts.get("train") or counts.get(FLAT)
    if reference is None:
        return  # for evaluation only: the model has the classes
    if sum(count > 0 for count in reference.values()) < 2:
        raise DataError(f"{text}: has one class; a classifier needs at least two")
    for name, count in reference.items():
        where = [split for split in counts if counts[split][name]]
        if where and not count:
            raise DataError(f"{text}: class {name} is in {', '.join(where)} but not in train")
        if count == 1:
            log.warning("%s: class %s has only one image to train on", text, name)
        for split in counts:
            if count and not counts[split][name]:
                log.warning("%s: class %s has no image in %s", text, name, split)
