"""Where images come from: class folders, Parquet files, the Hub, our drawings, Food-101.

A name or a path comes in; a `Dataset` goes out: class names and, for each split, labelled
`LabelledImages` that are opened only when somebody asks for one.
"""

from __future__ import annotations

import csv
import difflib
import glob
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
from filelock import FileLock

from foodvision.data.food101 import RELEASES, SHARES, cut_mini, get_food101
from foodvision.drawings.draw import write_drawn
from foodvision.errors import DataError, MissingExtraError
from foodvision.files.atomic import cache_folder
from foodvision.images.decode import SUFFIXES
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)

FLAT = "all"
"""Name of the one split of a data set that comes without splits."""

_SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
SPLIT_CSV = "split.csv"

NAMES = ("drawn", *RELEASES)
"""The data sets that are fetched by name."""


class Example(NamedTuple):
    """One labelled image."""

    source: Path | bytes
    """What `open_image` takes."""
    label: int
    """Index into the data set's classes."""
    name: str
    """Path below the data set's folder, or split and row of a Parquet file."""


class Store(Protocol):
    """Where the bytes lie."""

    def source(self, index: int) -> Path | bytes:
        """What `open_image` takes."""

    def name(self, index: int) -> str:
        """How the image is called in reports."""


@dataclass(frozen=True)
class FolderStore:
    """Image files below one folder."""

    root: Path
    names: Sequence[str]

    def source(self, index: int) -> Path:
        """The path of the file."""
        return self.root / self.names[index]

    def name(self, index: int) -> str:
        """The path below the root, with forward slashes."""
        return self.names[index]


@dataclass(frozen=True)
class ArrowStore:
    """Rows of a Hugging Face data set, whose images are still encoded."""

    rows: Any
    column: str
    split: str

    def source(self, index: int) -> bytes | Path:
        """The bytes of the file, or its path where the row holds only that."""
        image = self.rows[index][self.column] or {}
        return image.get("bytes") or Path(image.get("path") or "<empty row>")

    def name(self, index: int) -> str:
        """Split and row number."""
        return f"{self.split}[{index}]"


class LabelledImages(Sequence[Example]):
    """Labelled images: a list of `Example` that touches no file until it is opened.

    Attributes:
        classes: the names that labels point into.
        labels: int64 of shape (n,).

    """

    def __init__(
        self,
        store: Store,
        classes: tuple[str, ...],
        labels: np.ndarray,
        indices: np.ndarray | None = None,
    ) -> None:
        self.store = store
        self.classes = classes
        self.labels = np.asarray(labels, dtype=np.int64)
        self.indices = np.arange(len(self.labels)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> LabelledImages: ...
    def __getitem__(self, index: int | slice) -> Example | LabelledImages:
        if isinstance(index, slice):
            return self.subset(np.arange(len(self))[index])
        row = int(self.indices[index])
        return Example(self.store.source(row), int(self.labels[index]), self.store.name(row))

    def names(self) -> list[str]:
        """The names of all images, without reading any."""
        return [self.store.name(int(row)) for row in self.indices]

    def subset(self, chosen: Iterable[int]) -> LabelledImages:
        """The images at these positions, in this order."""
        picked = np.fromiter(chosen, dtype=np.int64)
        return LabelledImages(self.store, self.classes, self.labels[picked], self.indices[picked])

    def relabelled(self, classes: Sequence[str]) -> LabelledImages:
        """The same images with labels that point into another list of classes, by name.

        Raises:
            DataError: if an image's class is not in the list.

        """
        unknown = sorted({self.classes[i] for i in set(self.labels.tolist())} - set(classes))
        if unknown:
            raise DataError(
                f"class {', '.join(unknown)} is not among the model's: {', '.join(classes)}"
            )
        table = np.array([classes.index(c) if c in classes else -1 for c in self.classes])
        return LabelledImages(self.store, tuple(classes), table[self.labels], self.indices)

    def counts(self) -> dict[str, int]:
        """Images of each class, classes without any included."""
        found = Counter(self.labels.tolist())
        return {name: found[i] for i, name in enumerate(self.classes)}


@dataclass(frozen=True)
class Dataset:
    """Classes and splits.

    Attributes:
        name: short, for the default name of a run.
        classes: names in the order of the labels.
        splits: ``train``, ``validation``, ``test`` as far as they are given, or only ``all``.
            Of the Hub, further ones under their own names.
        root: the folder, where there is one.

    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, LabelledImages]
    root: Path | None = field(default=None)

    def restricted(self, classes: Collection[str], excluded: Collection[str] = ()) -> Dataset:
        """The same with fewer classes.

        Args:
            classes: those to keep; none for all.
            excluded: those to leave out of them.

        Raises:
            DataError: if there is no class of such a name.

        """
        for name in (*classes, *excluded):
            if name not in self.classes:
                (close,) = difflib.get_close_matches(name, self.classes, n=1, cutoff=0.0)
                raise DataError(f"{self.name}: has no class {name!r}; did you mean {close!r}?")
        kept = [c for c in self.classes if (c in classes or not classes) and c not in excluded]
        known = np.isin(self.classes, kept)
        splits = {
            split: images.subset(np.flatnonzero(known[images.labels])).relabelled(kept)
            for split, images in self.splits.items()
        }
        return replace(self, classes=tuple(kept), splits=splits)


def load_dataset(data: str | Path, follow_split_csv: bool = True) -> Dataset:
    """Find out what `data` is, list its images, check its classes. Opens no image.

    Args:
        data: one of `NAMES`, fetched into the cache folder on first use (a folder of that name
            is ``./NAME``); a folder of class folders, with or without ``train``, ``val`` (also
            ``valid``, ``validation``) and ``test`` above them; a folder or a glob of Parquet
            files; ``hub:OWNER/NAME[:CONFIG]``.
        follow_split_csv: take the splits of a flat folder from its split.csv, if it has one.

    Raises:
        DataError: if it is none of these, cannot be fetched, or its classes make no sense.
        MissingExtraError: if Parquet or the Hub is asked for and `datasets` is not installed.

    """
    text = str(data)
    if text in NAMES:
        dataset = _from_folder(_cached(text))
    elif text.startswith("hub:"):
        dataset = _from_hub(text.removeprefix("hub:"))
    elif text.endswith(".parquet"):
        files = sorted(Path(name) for name in glob.glob(text, recursive=True))  # noqa: PTH207
        dataset = _from_parquet(text, files)
    elif (folder := Path(text)).is_dir():
        files = sorted([*folder.glob("*.parquet"), *folder.glob("data/*.parquet")])
        dataset = _from_parquet(text, files) if files else _from_folder(folder, follow_split_csv)
    else:
        raise DataError(
            f"{text}: no such folder; DATA is a folder of class folders, or {', '.join(NAMES)}"
        )
    if (
        "train" in dataset.splits
        and "validation" in dataset.splits
        and "test" not in dataset.splits
    ):
        # As ethz/food101 has it: what is held out there is named validation.
        log.warning("%s: train and validation only: validation is held out as the test", text)
        dataset.splits["test"] = dataset.splits.pop("validation")
    _check_classes(text, dataset)
    return dataset


def get_data(name: str, out: Path, source: str | None = None, seed: int = 0) -> None:
    """Write one of `NAMES` into a folder, with a progress bar; whole or not at all.

    Args:
        name: ``drawn`` (see `foodvision.drawings.draw`), ``mini``, ``mini20`` or ``big`` (see
            `foodvision.data.food101`).
        out: a folder that does not exist yet, or an empty one.
        source: cut ``mini`` or ``mini20`` from this Food-101, whatever `load_dataset` takes,
            instead of fetching the course's.
        seed: of that cut.

    Raises:
        DataError: if there is no such data set, it cannot be fetched, or `out` not be written.

    """
    if name not in NAMES:
        raise DataError(f"no data set {name!r} to get: there are {', '.join(NAMES)}")
    if source and name not in SHARES:
        raise DataError(f"{name} cannot be cut from {source}: only {', '.join(SHARES)} can")
    if out.exists() and (not out.is_dir() or any(out.iterdir()) or out.is_mount()):
        state = "is where a disk is mounted" if out.is_mount() else "is not empty"
        raise DataError(f"{out}: {state}; choose another folder")
    try:
        if name == "drawn":
            _draw(out)
        elif source:
            cut_mini(load_dataset(source), out, SHARES[name], seed)
        else:
            get_food101(name, out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error})") from error


def _draw(out: Path) -> None:
    with progress_bar() as bar:
        task = bar.add_task("drawing", total=None, unit="images", info="")
        write_drawn(
            out, on_progress=lambda done, total: bar.update(task, completed=done, total=total)
        )


def _cached(name: str) -> Path:
    """The folder of a data set with a name, which is got on first use."""
    base = cache_folder()
    folder = base / name
    if folder.exists():
        return folder
    try:
        base.mkdir(parents=True, exist_ok=True)
        # The processes of one training on many devices all come here at the same time.
        with FileLock(base / f".{name}.lock"):
            if not folder.exists():
                get_data(name, folder)
    except OSError as error:
        raise DataError(f"{base}: cannot be written ({error.strerror or error})") from error
    return folder


def _from_folder(root: Path, follow_split_csv: bool = True) -> Dataset:
    splits = _split_folders(root)
    found: dict[str, list[tuple[str, str]]] = {}  # split -> (class, name)
    left_out: list[Path] = []
    for split, folder in splits.items():
        found[split] = []
        for class_folder in _folders_in(folder):
            files = list(files_below(class_folder))
            images = [path for path in files if is_image(path)]
            left_out += [path for path in files if not is_image(path)]
            # A class folder of the training images that holds none is a mistake to be told.
            if not images and split in ("train", FLAT):
                raise DataError(f"{class_folder}: no images; remove the folder or fill it")
            names = [path.relative_to(root).as_posix() for path in images]
            found[split] += [(class_folder.name, name) for name in names]
        if not found[split]:
            loose = any(is_image(path) for path in folder.iterdir())
            raise DataError(
                f"{folder}: no class folders with images"
                + ("; put each class in a folder of its own" if loose else "")
            )
    warn_of_left_out(str(root), left_out)
    if follow_split_csv and FLAT in found and (root / SPLIT_CSV).is_file():
        found = _assigned_by_csv(root, found)
    classes = _class_names(found)
    return Dataset(
        root.resolve().name,
        classes,
        {
            split: LabelledImages(
                FolderStore(root, [name for _, name in rows]),
                classes,
                np.array([classes.index(label) for label, _ in rows]),
            )
            for split, rows in found.items()
        },
        root,
    )


def _split_folders(root: Path) -> dict[str, Path]:
    folders = _folders_in(root)
    splits: dict[str, Path] = {}
    for folder in folders:
        split = _SPLIT_NAMES.get(folder.name.lower())
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
    """Its folders by name, without hidden ones and those a zip from a Mac brings along."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
    )


def files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder and the folders in it, by name; hidden ones are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent) / name


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name."""
    return path.suffix.lower() in SUFFIXES


def warn_of_left_out(where: str, files: Collection[Path]) -> None:
    """Say how many files are left out because they are not images by their names, if any."""
    if files:
        counts = Counter(path.suffix.lower() or "without a suffix" for path in files)
        listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
        noun = "file" if len(files) == 1 else "files"
        log.warning("%s: %d %s left out that are not images: %s", where, len(files), noun, listed)


def _assigned_by_csv(
    root: Path, found: dict[str, list[tuple[str, str]]]
) -> dict[str, list[tuple[str, str]]]:
    """Take the splits from a split.csv in the data set's folder (`foodvision data split`)."""
    with (root / SPLIT_CSV).open(newline="", encoding="utf-8") as file:
        assigned = {row.get("name"): row.get("split") for row in csv.DictReader(file)}
    splits: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for label, name in (row for rows in found.values() for row in rows):
        split = assigned.get(name)
        if split not in ("train", "validation", "test"):
            raise DataError(f"{root / SPLIT_CSV}: says nothing of {name}; delete it and split anew")
        splits[split].append((label, name))
    return dict(splits)


def _class_names(found: dict[str, list[tuple[str, str]]]) -> tuple[str, ...]:
    """All classes of the training images; other splits' own come behind, to be complained of."""
    reference = found.get("train") or found.get(FLAT) or []
    classes = sorted({label for label, _ in reference})
    others = {label for rows in found.values() for label, _ in rows}
    return tuple(classes + sorted(others - set(classes)))


def _from_parquet(text: str, files: list[Path]) -> Dataset:
    if not files:
        raise DataError(f"{text}: no such Parquet file")
    named: dict[str, list[str]] = defaultdict(list)
    for file in files:
        prefix = file.name.removesuffix(".parquet").split("-")[0].lower()
        named[_SPLIT_NAMES.get(prefix, "flat")].append(str(file))  # "all" is taken by datasets
    if "flat" in named and len(named) > 1:
        raise DataError(f"{text}: files of splits and others: {Path(named['flat'][0]).name}")
    name = Path(text).stem if "*" not in text else Path(text).parent.name
    return _from_rows(text, name or "parquet", path="parquet", data_files=dict(named))


def _from_hub(text: str) -> Dataset:
    repository, _, config = text.partition(":")
    name = repository.split("/")[-1]
    return _from_rows(f"hub:{text}", name, path=repository, name=config or None)


def _from_rows(text: str, short_name: str, /, **options: Any) -> Dataset:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("reading Parquet and Hub data sets", "data") from error
    try:
        loaded = datasets.load_dataset(**options)
    except Exception as error:  # pyarrow, fsspec, httpx: each has its own
        raise DataError(f"{text}: cannot be read ({_first_line(error)})") from error
    found: dict[str, tuple[ArrowStore, np.ndarray]] = {}
    classes: tuple[str, ...] = ()
    for split, rows in _usual_splits(text, loaded, datasets).items():
        image, label = _columns(text, rows.features, datasets)
        column = rows.select_columns(label).with_format("arrow")[:][label]
        if isinstance(rows.features[label], datasets.ClassLabel):
            classes, values = tuple(rows.features[label].names), column.fill_null(-1).to_numpy()
        else:
            values = np.array(column.to_pylist(), dtype=object)
            classes = tuple(sorted({*classes, *values} - {None}))
        rows = rows.cast_column(image, datasets.Image(decode=False))
        found[split] = (ArrowStore(rows, image, split), values)
    images: dict[str, LabelledImages] = {}
    for split, (store, values) in found.items():
        if values.dtype == object:
            number = {name: i for i, name in enumerate(classes)}
            values = np.array([number.get(value, -1) for value in values])
        if (values == -1).all():
            log.warning("%s: %s has no labelled images and is left out", text, split)
        elif values.min() < 0 or values.max() >= len(classes):
            raise DataError(f"{text}: {split} has images without a label")
        else:
            images[split] = LabelledImages(store, classes, values)
    if not images:
        raise DataError(f"{text}: no split has labels")
    return Dataset(short_name, classes, images)


def _usual_splits(text: str, loaded: dict[str, Any], datasets: Any) -> dict[str, Any]:
    """Name the splits as in `Dataset`, without losing rows of those that have other names."""
    others = [given for given in loaded if given.lower() not in _SPLIT_NAMES]
    if len(others) == len(loaded):
        listed = ", ".join(others)
        if len(others) > 1:
            log.warning("%s: %s are not train, validation or test: read as one", text, listed)
        try:
            return {FLAT: datasets.concatenate_datasets(list(loaded.values()))}
        except ValueError as error:
            raise DataError(f"{text}: {listed} differ in columns or classes") from error
    splits: dict[str, Any] = {}
    for given, rows in loaded.items():
        split = _SPLIT_NAMES.get(given.lower(), given)
        if split in splits:
            raise DataError(f"{text}: two of its splits are {split}: {', '.join(loaded)}")
        splits[split] = rows
    if others:
        listed = ", ".join(others)
        log.warning("%s: not train, validation or test, used by name only: %s", text, listed)
    return splits


def _columns(text: str, features: Any, datasets: Any) -> tuple[str, str]:
    """Names of the columns that hold the image and the label: by type, then by name."""
    images = [
        key
        for key, kind in features.items()
        if isinstance(kind, datasets.Image) or (isinstance(kind, dict) and "bytes" in kind)
    ]
    labels = [key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    labels = labels or [
        key
        for key, kind in features.items()
        if key in ("label", "class") and getattr(kind, "dtype", "") in ("string", "large_string")
    ]
    if len(images) != 1 or len(labels) != 1:
        raise DataError(
            f"{text}: needs one column of images and one of labels (ClassLabel, or text named "
            f"'label'); it has {', '.join(features)}"
        )
    return images[0], labels[0]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_classes(text: str, dataset: Dataset) -> None:
    usual = (FLAT, *_SPLIT_NAMES.values())
    counts = {name: images.counts() for name, images in dataset.splits.items() if name in usual}
    reference = counts.get("train") or counts.get(FLAT)
    if reference is None:
        return  # only to be evaluated: the model knows the classes
    if sum(count > 0 for count in reference.values()) < 2:
        raise DataError(f"{text}: has one class; a classifier needs two or more")
    for name, count in reference.items():
        if count == 0:
            where = [split for split in counts if counts[split][name]]
            if where:
                raise DataError(f"{text}: class {name} is in {', '.join(where)} but not in train")
        if count == 1:
            log.warning("%s: class %s has only one image to train on", text, name)
        for split in counts:
            if count and not counts[split][name]:
                log.warning("%s: class %s has no image in %s", text, name, split)
