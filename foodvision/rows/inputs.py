"""The images that a user names: files, folders, globs, lists, addresses, or standard input.

What was typed comes in; numbered rows go out, one per image, in the order of the inputs. Their
names are kept in a temporary file, so that a million take no more memory than a thousand.
"""

from __future__ import annotations

import glob
import os
import re
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import NamedTuple, Protocol, TypeVar

from foodvision.errors import DataError
from foodvision.files.parquet_images import is_parquet, is_row
from foodvision.files.remote import is_remote, remote_files
from foodvision.images.decode import ImageSource
from foodvision.images.files import files_below, is_image, suffix_of, warn_of_left_out
from foodvision.images.source import MAX_DOWNLOAD_BYTES, is_url
from foodvision.rows.lists import images_in
from foodvision.rows.row import Row, name_of, shown

Answer = TypeVar("Answer", bound=Row)
Row_co = TypeVar("Row_co", bound=Row, covariant=True)

CHUNK = 1 << 16
"""Bytes of the names that are read at once."""

MAX_LINE_BYTES = 1 << 16
"""Of a path or URL in a list on standard input."""

_IMAGE_HEADER = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|P[1-6]\s", re.DOTALL)
"""How images begin whose first bytes may hold no NUL; a list of names never holds one."""


class Missing(NamedTuple):
    """An input without images, as it was typed, and why."""

    path: str
    error: str


class Failed(Protocol[Row_co]):
    """Makes the row of an input without images: the class of the rows does."""

    def __call__(self, path: str, *, error: str) -> Row_co: ...  # noqa: D102


class Inputs:
    """Images, and inputs without images, in rows 0, 1, 2, … in the order of the command line.

    Attributes:
        missing: the inputs without images, by row.

    """

    def __init__(self) -> None:
        self.missing: dict[int, Missing] = {}
        self._content = b""  # of the image on standard input
        self._rows = 0
        # Each ends with NUL, which no path contains.
        self._names = SpooledTemporaryFile(1 << 20)  # noqa: SIM115
        weakref.finalize(self, self._names.close)

    def __len__(self) -> int:
        """The number of rows."""
        return self._rows

    def add(self, source: str | bytes) -> None:
        """One more image: its path or URL, or the content of the only one that has no name."""
        if isinstance(source, bytes):
            self._content, source = source, ""
        self._names.write(os.fsencode(source) + b"\0")
        self._rows += 1

    def add_missing(self, text: str, error: str) -> None:
        """An input that stands for no image."""
        self.missing[self._rows] = Missing(text, error)
        self.add(text)

    def names(self) -> Iterator[str]:
        """What each row calls its image."""
        for row, source in enumerate(self._all()):
            yield self.missing[row].path if row in self.missing else name_of(source)

    def sources(self) -> Iterator[ImageSource]:
        """The images, without the `missing` rows."""
        return (source for row, source in enumerate(self._all()) if row not in self.missing)

    def rows(
        self,
        answer: Callable[[Iterator[ImageSource]], Iterator[Answer]],
        failed: Failed[Answer],
        batch_size: int,
        first: int = 0,
    ) -> Iterator[Answer]:
        """The rows from `first` on.

        The last bits of a result depend on the images beside it in the batch. So the images from
        the beginning of the batch of row `first` are computed once more, and a run that resumes
        there gives the same numbers as one that was not interrupted.

        Args:
            answer: gives the row of each image, in batches of `batch_size`.
            failed: gives the row of an input without images.
            batch_size: images at a time.
            first: number of a row.

        """
        before = first - sum(row < first for row in self.missing)
        again = before % batch_size
        answers = answer(islice(self.sources(), before - again, None))
        next(islice(answers, again, again), None)  # these rows are there already
        for row in range(first, len(self)):
            if missing := self.missing.get(row):
                yield failed(missing.path, error=missing.error)
            else:
                yield next(answers)

    def _all(self) -> Iterator[str | bytes]:
        position, rest = 0, b""
        while True:
            self._names.seek(position)
            if not (chunk := self._names.read(CHUNK)):
                return
            position += len(chunk)
            *names, rest = (rest + chunk).split(b"\0")
            for name in names:
                yield os.fsdecode(name) if name else self._content


def find_inputs(inputs: Iterable[str]) -> Inputs:
    """The images that the user typed: files, folders, globs, URLs, and ``-`` for stdin.

    Folders include their subfolders, and are here or at an address such as ``s3://bucket/photos``.
    In folders and globs, files without the suffix of an image are left out and counted in one line;
    a file that is named itself is always tried. A Parquet file stands for the images in its rows,
    and a folder of them too; a CSV file for the files in its column ``path``. Standard input is an
    image, or a list of paths and URLs, one per line.

    Raises:
        DataError: if there are no images at all.
        MissingExtraError: if there is a Parquet file and pyarrow is not installed.

    """
    found = Inputs()
    for text in inputs:
        try:
            for source in _images_of(text):
                found.add(source)
        except OSError as error:
            found.add_missing(text, f"cannot be read ({error.strerror})")
        except DataError as error:
            found.add_missing(text, str(error))
    if found.missing and len(found.missing) == len(found):
        rows = islice(found.missing.values(), 3)
        raise DataError("; ".join(f"{shown(row.path)}: {row.error}" for row in rows))
    return found


def _images_of(text: str) -> Iterator[str | bytes]:
    """The images that one input stands for."""
    if text == "-":
        yield from _standard_input()
    elif not text.strip():
        raise DataError("is empty; give a file, folder, glob or URL, such as . for this folder")
    elif is_url(text) or is_row(text):
        yield text
    elif is_remote(text):
        yield from _images_among(remote_files(text), text)
    elif Path(text).is_dir():
        yield from _images_among(_files_of([text]), text)
    elif Path(text).exists():
        yield from images_in(text)
    elif matches := sorted(glob.glob(text, recursive=True)):  # noqa: PTH207
        yield from _images_among(_files_of(matches), text, matches)
    else:
        raise DataError("no such file or folder")


def _images_among(
    files: Iterable[str], text: str, named: Collection[str] = ()
) -> Iterator[str | bytes]:
    """The images among the files of a folder or glob; without any, those in its Parquet files.

    Args:
        files: all of them.
        text: what was typed; a file of just this name is always tried.
        named: of these, files are tried if there is no image, as those of ``*.dat`` are.

    """
    left_out: Counter[str] = Counter()
    tables, images = [], 0
    for file in files:
        if file == text:
            yield from images_in(file)
            return
        if is_image(Path(file)):
            images += 1
            yield file
        else:
            left_out[suffix_of(Path(file))] += 1
            tables += [file] if is_parquet(file) else []
    if not images:
        others = tables or [file for file in named if Path(file).is_file()]
        for file in others:
            yield from images_in(file)
        images = len(others)
        left_out = left_out - Counter({".parquet": len(tables)}) if tables else Counter()
    if not images:
        raise DataError("no images in this folder")
    warn_of_left_out(text, left_out)


def _files_of(matches: list[str]) -> Iterator[str]:
    """Each file once: ``**`` matches a folder as well as the files in it."""
    folders: set[Path] = set()
    for path in map(Path, matches):
        if folders and not folders.isdisjoint(path.parents):
            continue
        if path.is_dir():
            folders.add(path)
            yield from map(str, files_below(path))
        else:
            yield str(path)


def _standard_input() -> Iterator[str | bytes]:
    file = sys.stdin.buffer
    head = file.read(MAX_LINE_BYTES)
    if b"\0" in head or _IMAGE_HEADER.match(head):
        content = head + file.read(MAX_DOWNLOAD_BYTES + 1 - len(head))
        if len(content) > MAX_DOWNLOAD_BYTES:
            raise DataError(f"standard input is larger than {MAX_DOWNLOAD_BYTES / 1e6:.0f} MB")
        yield content
        return
    names, rest = 0, head.removeprefix(b"\xef\xbb\xbf")  # PowerShell writes this mark first
    while rest:
        *lines, rest = rest.split(b"\n")
        if not (more := file.read(CHUNK)):
            lines, rest = [*lines, rest], b""
        elif len(rest) > MAX_LINE_BYTES:
            raise DataError(
                f"a line of standard input is longer than {MAX_LINE_BYTES:,} bytes; give one path "
                "per line"
            )
        for line in lines:
            if line.strip():
                names += 1
                yield os.fsdecode(line.removesuffix(b"\r"))
        rest += more
    if not names:
        raise DataError("standard input is empty; give an image, or one path per line")
