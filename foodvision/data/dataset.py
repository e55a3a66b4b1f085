"""Labelled images, split by split, that are opened only when they are asked for.

Every source of data (`folder`, `parquet`, and `load`, which chooses between them) gives a
`Dataset`; training, evaluation and the features of a probe take its `LabelledImages`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from foodvision.data.stores import JoinedStore, Source, Store
from foodvision.data.stream_store import READ_AHEAD, StreamStore
from foodvision.errors import DataError, ImageError
from foodvision.files.read import open_regular
from foodvision.text import list_names

FLAT = "all"
"""Name of the only split of a dataset that has no splits."""

UNLABELLED = "unlabelled"
"""Name of the class of images that have none."""

SPLITS = ("train", "validation", "test")
"""Names of the usual splits of a `Dataset`."""

LABEL_NAMES = ("label", "labels", "class", "classname", "category", "target")
"""Usual names of a column of labels, as `plain_name` writes them."""

MAX_IMAGE_BYTES = 1_000_000_000
"""Largest image file that is read; `MAX_PIXELS` of uncompressed 16-bit RGB take about as much."""

_SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "eval", "evaluation", "dev"),
    "test": ("test", "testing"),
}
_ROWS_AT_A_TIME = 16


@dataclass(frozen=True)
class Dataset:
    """The classes of a dataset and its images, split by split.

    Attributes:
        name: short, for the default name of a run.
        classes: names in the order of the labels.
        splits: those of ``train``, ``validation`` and ``test`` that exist, or only ``all``. Splits
            of other names on the Hub are kept beside them.
        root: the folder, if the images are files in a folder.
        left_out: the files in class folders whose suffix is not that of an image.

    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, LabelledImages]
    root: Path | None = None
    left_out: Sequence[Path] = ()

    def all_images(self) -> LabelledImages:
        """The images of train, validation and test, or of a flat dataset, one after the other.

        Raises:
            DataError: if it has only splits of other names.

        """
        if FLAT in self.splits:
            return self.splits[FLAT]
        parts = [self.splits[split] for split in SPLITS if split in self.splits]
        if not parts:
            raise DataError(f"{self.name}: has none of the splits {', '.join(SPLITS)}")
        labels = np.concatenate([part.labels for part in parts])
        store = JoinedStore([(part.store, part.indices) for part in parts])
        return LabelledImages(store, self.classes, labels)

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
                close = difflib.get_close_matches(name, self.classes, n=1)
                listed = (
                    f"did you mean {close[0]!r}?" if close else f"it has {list_names(self.classes)}"
                )
                raise DataError(f"{self.name}: has no class {name!r}; {listed}")
        kept = [c for c in self.classes if (c in classes or not classes) and c not in excluded]
        known = np.isin(self.classes, kept)
        splits = {
            split: images.subset(np.flatnonzero(known[images.labels])).relabelled(kept)
            for split, images in self.splits.items()
        }
        return replace(self, classes=tuple(kept), splits=splits)


class Example(NamedTuple):
    """One labelled image."""

    source: Source
    """What `open_image` takes."""
    label: int
    """Index into the dataset's classes."""
    name: str
    """Path below the dataset's folder, or split and row of a Parquet file."""

    def read(self) -> bytes:
        """The bytes of the image file.

        Raises:
            ImageError: if the file cannot be read, or is no regular file.

        """
        try:
            if isinstance(self.source, Path):
                with open_regular(self.source) as file:
                    if os.fstat(file.fileno()).st_size > MAX_IMAGE_BYTES:
                        limit = MAX_IMAGE_BYTES / 1e6
                        raise ImageError(self.name, f"the file is larger than {limit:,.0f} MB")
                    return file.read()
            return self.source if isinstance(self.source, bytes) else self.source.read()
        except ImageError as error:
            raise ImageError(self.name, error.reason) from error
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL
            reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
            raise ImageError(self.name, reason) from error


class LabelledImages(Sequence[Example]):
    """A sequence of `Example`; no file is touched until its image is opened.

    Attributes:
        classes: names in the order of the labels.
        labels: int64 of shape (n,).

    """

    def __init__(
        self,
        store: Store,
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
        (source,) = self.store.sources([row])
        return Example(source, int(self.labels[index]), self.store.name(row))

    def __iter__(self) -> Iterator[Example]:
        # Several rows at a time: reading 16 rows of a Parquet file takes little longer than one.
        starts = range(0, len(self), _ROWS_AT_A_TIME)
        batches = [np.arange(i, min(i + _ROWS_AT_A_TIME, len(self))) for i in starts]
        for positions, sources in zip(batches, self.in_batches(batches), strict=True):
            for i, source in zip(positions.tolist(), sources, strict=True):
                yield Example(source, int(self.labels[i]), self.name(i))

    @property
    def stream(self) -> StreamStore | None:
        """Where the images are read from row group by row group; None if each is at hand."""
        return self.store if isinstance(self.store, StreamStore) else None

    def in_batches(
        self, batches: Sequence[np.ndarray], ahead: int = READ_AHEAD
    ) -> Iterator[Sequence[Source]]:
        """What `open_image` takes, for one batch of positions after the other.

        Args:
            batches: positions, iterated more than once.
            ahead: see `StreamStore.in_batches`.

        Raises:
            DataError: if a row group of a stream cannot be read.

        """
        rows = [self.indices[batch] for batch in batches]
        if self.stream:
            return self.stream.in_batches(rows, ahead)
        return (self.store.sources(batch.tolist()) for batch in rows)

    def name(self, index: int) -> str:
        """The `Example.name` of an image; reads no image."""
        return self.store.name(int(self.indices[index]))

    def names(self) -> list[str]:
        """The names of all of them."""
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
            which = f"class {unknown[0]} is" if len(unknown) == 1 else f"{list_names(unknown)} are"
            raise DataError(f"{which} not among the model's: {listed}")
        table = np.array([classes.index(c) if c in classes else -1 for c in self.classes])
        return LabelledImages(self.store, tuple(classes), table[self.labels], self.indices)

    def counts(self) -> dict[str, int]:
        """Number of images of each class, 0 included."""
        found = Counter(self.labels.tolist())
        return {name: found[i] for i, name in enumerate(self.classes)}


def split_of(name: str) -> str | None:
    """The split meant by the name of a folder, a Parquet file or a split on the Hub, or None."""
    plain = plain_name(name)
    return next((split for split, names in _SYNONYMS.items() if plain in names), None)


def held_out(splits: Collection[str]) -> str:
    """The split that training never opens.

    It is ``test``; or ``validation`` where ``train`` is the only other one, as in ethz/food101.
    """
    return "validation" if {*splits} & {*SPLITS} == {"train", "validation"} else "test"


def plain_name(name: str) -> str:
    """A name in lower case without spaces, hyphens and underscores, such as ``filename``."""
    return re.sub(r"[\s_-]", "", name).lower()
