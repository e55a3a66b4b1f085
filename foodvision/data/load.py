"""From what the user typed to a `Dataset`: a folder, a CSV file, Parquet files, the Hub, or a name.

The datasets that have a name (our drawings, Food-101 and its cuts) are written into a folder: the
cache on first use, or where `get_data` is told to.
"""

from __future__ import annotations

import glob
import logging
from pathlib import Path

from filelock import FileLock

from foodvision.data import split_csv
from foodvision.data.dataset import FLAT, SPLITS, Dataset, held_out
from foodvision.data.folder import from_folder, has_class_folders
from foodvision.data.food101 import RELEASES, SHARES, cut_mini, get_food101
from foodvision.data.labels_csv import find_labels_csv, from_labels_csv
from foodvision.data.parquet import from_hub, from_parquet
from foodvision.data.stream import from_stream
from foodvision.drawings.draw import NAME, write_drawn
from foodvision.errors import DataError
from foodvision.files.atomic import cache_folder, cannot_write
from foodvision.files.parquet_images import is_parquet
from foodvision.files.remote import is_remote
from foodvision.progress import progress_bar
from foodvision.text import list_names

log = logging.getLogger(__name__)

NAMES = (NAME, *RELEASES)
"""The datasets that are fetched by name."""


def load_dataset(
    data: str | Path,
    follow_split_csv: bool = True,
    strict: bool = True,
    labelled: bool = True,
    test: bool = True,
) -> Dataset:
    """List the images of a dataset, check its classes, and log what was found. Opens no image.

    Args:
        data: one of `NAMES`, fetched into the cache folder on first use (for a folder of that
            name, type ``./NAME``); a folder of class folders (see `from_folder`); a CSV file of
            labels (see `from_labels_csv`), or a folder that contains one and no class folders; a
            folder or a glob of Parquet files; ``hub:OWNER/NAME[:CONFIG]``; or an address of Parquet
            files to stream (see `from_stream`).
        follow_split_csv: take the splits of image files from split.csv, if they have no others.
        strict: False accepts classes that cannot be trained on, for `foodvision data check`.
        labelled: False accepts a folder of images without classes, or with one.
        test: False opens no file of the test split of a stream, and leaves the split out.

    Raises:
        DataError: if `data` is none of these, cannot be fetched, or has unusable classes.
        MissingExtraError: if Parquet files or the Hub need `datasets` and it is not installed.

    """
    text, dataset = _listed(str(data), strict, labelled, test)
    if follow_split_csv and FLAT in dataset.splits:
        dataset = split_csv.follow(dataset)
    if held_out(dataset.splits) == "validation":
        log.warning("%s: train and validation only: validation is held out as the test", text)
        dataset.splits["test"] = dataset.splits.pop("validation")
    for split in [name for name, images in dataset.splits.items() if not len(images)]:
        del dataset.splits[split]  # without labels; not before, or validation would be the test
    if strict and labelled:
        _check_classes(text, dataset)
    log.info("%s: %s", text, _summary(dataset))
    return dataset


def _listed(text: str, strict: bool, labelled: bool, test: bool) -> tuple[str, Dataset]:
    """The path or name that is read, and its dataset."""
    if not text:
        raise DataError("DATA is empty; for the current folder, type .")
    path = Path(text)
    if is_remote(text):
        return text, from_stream(text, test)
    if text in NAMES:
        return text, from_folder(_cached(text))
    if text.startswith("hub:"):
        return text, from_hub(text.removeprefix("hub:"))
    if is_parquet(text):
        files = sorted(Path(name) for name in glob.glob(text, recursive=True))  # noqa: PTH207
        return text, from_parquet(text, files)
    if path.suffix.lower() == ".csv" and path.exists():
        return text, from_labels_csv(path)
    if not path.is_dir():
        wrong = "is a file" if path.exists() else "no such folder"
        raise DataError(
            f"{text}: {wrong}; DATA is a folder of class folders or of Parquet files, a CSV file, "
            f"the address of Parquet files, or {', '.join(NAMES)}"
        )
    if files := sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")]):
        return text, from_parquet(text, files)
    tables, others = find_labels_csv(path)
    if (tables or others) and not has_class_folders(path):
        if len(tables) > 1:
            raise DataError(f"{text}: has several CSVs of labels; name one: {tables[0]}")
        if tables:
            return str(tables[0]), from_labels_csv(tables[0])
        for other, reason in others.items():
            log.warning("%s: not read as labels (%s)", other, reason)
    elif tables:
        log.warning("%s: not read, because %s has class folders", tables[0], text)
    dataset = from_folder(path, strict, labelled)
    return str(dataset.root), dataset


def _summary(dataset: Dataset) -> str:
    """Such as ``3 classes × train/test, 450/150 images: pizza, steak, sushi``."""
    splits = sorted(dataset.splits, key=lambda split: [*SPLITS, split].index(split))
    counts = "/".join(f"{len(dataset.splits[split]):,}" for split in splits)
    names = ", no splits" if splits == [FLAT] else f" × {'/'.join(splits)}"
    plural = "" if len(dataset.classes) == 1 else "es"
    listed = list_names(dataset.classes)
    return f"{len(dataset.classes)} class{plural}{names}, {counts} images: {listed}"


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
        if name == NAME:
            with progress_bar() as bar:
                task = bar.add_task("drawing", total=None, unit="images", info="")
                write_drawn(out, on_progress=lambda n, of: bar.update(task, completed=n, total=of))
        elif source:
            cut_mini(load_dataset(source), out, SHARES[name], seed)
        else:
            get_food101(name, out)
    except OSError as error:
        raise DataError(cannot_write(out, error)) from error


def is_at_hand(name: str) -> bool:
    """Whether one of `RELEASES`, or its archive, is in the cache, so that no network is needed."""
    archive = RELEASES[name].file.name
    return any((cache_folder() / kept).exists() for kept in (name, archive, f".{archive}"))


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
    usual = (FLAT, *SPLITS)
    counts = {name: images.counts() for name, images in dataset.splits.items() if name in usual}
    reference = counts.get("train") or counts.get(FLAT)
    if reference is None:
        return  # for evaluation only: the model has the classes
    if sum(count > 0 for count in reference.values()) < 2:
        (name,) = [name for name, count in reference.items() if count]
        raise DataError(
            f"{text}: found one class, {name}; a classifier needs two or more, each in a folder of "
            "its own"
        )
    for name, count in reference.items():
        where = [split for split in counts if counts[split][name]]
        if where and not count:
            raise DataError(f"{text}: class {name} is in {', '.join(where)} but not in train")
        if count == 1:
            log.warning("%s: class %s has only one image to train on", text, name)
        for split in counts:
            if count and not counts[split][name]:
                log.warning("%s: class %s has no image in %s", text, name, split)
