"""Labelled images, split by split, that are opened only when they are asked for.

Every source of data (`folder`, `parquet`, and `load`, which chooses between them) gives a
`Dataset`; training, evaluation and the features of a probe take its `LabelledImages`.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from foodvision.errors import DataError, ImageError

FLAT = "all"
"""Name of the only split of a dataset that has no splits."""

SPLIT_NAMES = {"train": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation"), "validation"
)
"""Names of folders, Parquet files and Hub splits, in lower case, and the split that each is."""

SHOWN_CLASSES = 10


@dataclass(frozen=True)
class Dataset:
    """The classes of a dataset and its images, split by split.

    Attributes:
        name: short, for the default name of a run.
        classes: names in the order of the labels.
        splits: those of ``train``, ``validation`` and ``test`` that exist, or only ``all``. Splits
            of other names on the Hub are kept beside them.
        root: the folder, if the images are files in a folder.

    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, LabelledImages]
    root: Path | None = None

    def restricted(self, classes: Collection[str], excluded: Collection[str] = ()) -> Dataset:
        """The same dataset with fewer classes.

        Args:
            classes: the names to keep; empty for all.
            excluded: the names to drop from them.

        Raises:
            DataError: if a name is not a class of this dataset.

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


class Example(NamedTuple):
    """One labelled image."""

    source: Path | bytes
    """What `open_image` takes."""
    label: int
    """Index into the dataset's classes."""
    name: str
    """Path below the dataset's folder, or split and row of a Parquet file."""

    def read(self) -> bytes:
        """The bytes of the image file.

        Raises:
            ImageError: if the file cannot be read.

        """
        try:
            return self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        except OSError as error:
            reason = f"cannot be read ({error.strerror or error})"
            raise ImageError(self.name, reason) from error


class LabelledImages(Sequence[Example]):
    """A sequence of `Example`; no file is touched until its image is opened.

    Attributes:
        classes: names in the order of the labels.
        labels: int64 of shape (n,).

    """

    def __init__(
        self,
        store: FolderStore | ArrowStore,
        classes: tuple[str, ...],
        labels: np.ndarray,
        indices: np.ndarray | None = None,
    ) -> None:
        self.store, self.classes = store, classes
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
        """The `Example.name` of each image; reads no image."""
        return [self.store.name(int(row)) for row in self.indices]

    def subset(self, chosen: Iterable[int]) -> LabelledImages:
        """The images at these positions, in this order."""
        picked = np.fromiter(chosen, dtype=np.int64)
        return LabelledImages(self.store, self.classes, self.labels[picked], self.indices[picked])

    def relabelled(self, classes: Sequence[str]) -> LabelledImages:
        """The same images with labels for another list of classes, matched by name.

        Raises:
            DataError: if the class of an image is not in that list.

        """
        unknown = sorted({self.classes[i] for i in set(self.labels.tolist())} - set(classes))
        if unknown:
            listed = list_names(classes)
            raise DataError(f"class {list_names(unknown)} is not among the model's: {listed}")
        table = np.array([classes.index(c) if c in classes else -1 for c in self.classes])
        return LabelledImages(self.store, tuple(classes), table[self.labels], self.indices)

    def counts(self) -> dict[str, int]:
        """Number of images of each class, 0 included."""
        found = Counter(self.labels.tolist())
        return {name: found[i] for i, name in enumerate(self.classes)}


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
    """Rows of a Hugging Face dataset whose images are still encoded."""

    rows: Any
    column: str
    split: str

    def source(self, index: int) -> bytes | Path:
        """The bytes of the file, or its path if the row has only that."""
        image = self.rows[index][self.column] or {}
        return image.get("bytes") or Path(image.get("path") or "<empty row>")

    def name(self, index: int) -> str:
        """Split and row number."""
        return f"{self.split}[{index}]"


def list_names(classes: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    more = len(classes) - SHOWN_CLASSES
    return ", ".join(classes[:SHOWN_CLASSES]) + (f" and {more:,} more" if more > 0 else "")
