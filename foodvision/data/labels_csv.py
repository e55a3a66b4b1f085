"""Images listed in a CSV file with the columns ``path,label`` or ``path,label,split``.

The CSV file comes in; a `Dataset` goes out. No image is opened.
"""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from foodvision.data.dataset import FLAT, LABEL_NAMES, SPLITS, Dataset, plain_name, split_of
from foodvision.data.folder import dataset_of_files
from foodvision.data.splits import SPLIT_CSV
from foodvision.errors import DataError
from foodvision.files.read import check_regular, open_csv

log = logging.getLogger(__name__)

_PATH_NAMES = ("path", "file", "filename", "filepath", "image", "imagename", "imagepath")
_SPLIT_NAMES = ("split", "subset", "set")


def from_labels_csv(path: Path) -> Dataset:
    """List the images of a CSV file.

    Args:
        path: a CSV file with a column of paths relative to its folder (``path``, ``file_name``,
            ``image``, …), a column of labels (``label``, ``class``, ``category``, …), and
            optionally a column ``split``.

    Raises:
        DataError: if the file cannot be read or a row is invalid; it names the line.

    """
    try:
        table = open_csv(path)
        columns = _columns(table.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read as a CSV of labels ({reason})") from error
    found: dict[str, list[tuple[str, str]]] = {}  # split -> (class, name)
    names: set[str] = set()
    unlabelled = 0
    try:
        for row in table:
            name, label = row[columns.path].strip(), row[columns.label].strip()
            split = split_of(row[columns.split]) if columns.split else FLAT
            if split is None:
                raise ValueError(f"split {row[columns.split or '']!r} is not {', '.join(SPLITS)}")
            name = _checked(path.parent, name)
            if name in names:
                raise ValueError(f"{name} is listed twice")
            names.add(name)
            if label:
                found.setdefault(split, []).append((label, name))
            elif split in ("train", FLAT):
                raise ValueError(f"{name} has no label")
            else:
                unlabelled += 1
    except ValueError as error:
        raise DataError(f"{path}: line {table.line_num}: {error}") from error
    except csv.Error as error:
        raise DataError(f"{path}: after line {table.line_num}: {error}") from error
    if not found:
        raise DataError(f"{path}: lists no images")
    if unlabelled:
        log.warning("%s: images that have no label and are left out: %d", path, unlabelled)
    return dataset_of_files(path.resolve().parent.name, path.parent, found)


def find_labels_csv(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The CSVs of labels in a folder, and for each other CSV the reason why it is not one."""
    found, others = [], {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".csv" and path.name != SPLIT_CSV:
            try:
                _columns(open_csv(path).fieldnames or ())
                found.append(path)
            except (OSError, ValueError, csv.Error) as error:
                others[path] = getattr(error, "strerror", None) or str(error)
    return found, others


class _Columns(NamedTuple):
    path: str
    label: str
    split: str | None


def _columns(header: Collection[str]) -> _Columns:
    """The names of the columns of paths, labels and splits."""
    path, label, split = (
        [name for name in header if plain_name(name) in known]
        for known in (_PATH_NAMES, LABEL_NAMES, _SPLIT_NAMES)
    )
    if len(path) != 1 or len(label) != 1 or len(split) > 1:
        raise ValueError(
            "needs one column named path, one named label, and at most one named split; "
            f"it has {', '.join(header)[:200]}"
        )
    return _Columns(path[0], label[0], split[0] if split else None)


def _checked(root: Path, cell: str) -> str:
    """The path of an image below `root`, from its cell.

    Raises:
        ValueError: if the path leaves the folder or there is no such file.

    """
    if not cell:
        raise ValueError("has no path")
    name = Path(os.path.normpath(cell))
    if name.is_absolute() or os.pardir in name.parts[:1]:  # "." has no parts
        raise ValueError(f"{cell} is not below the folder of the CSV file")
    try:
        return check_regular(root / name).relative_to(root).as_posix()
    except OSError as error:
        raise ValueError(f"{cell}: {error.strerror}") from error
