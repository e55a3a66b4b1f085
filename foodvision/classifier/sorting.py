"""Images into folders by class: predictions in, links to the images (or copies) out.

The images themselves are neither moved nor changed, and no file that is there already is
overwritten, whatever the names of classes and images are.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from foodvision.classifier.predict import Prediction
from foodvision.errors import FoodvisionError
from foodvision.files.atomic import cannot_write, replacing
from foodvision.text import printable

log = logging.getLogger(__name__)

UNSURE = "unsure"
"""The folder of images whose answer is not sure."""

MAX_NAME_BYTES = 200
"""Of a folder or file, with room for a number; file systems allow 255."""


class Sorter:
    """Puts images into one folder per class.

    Args:
        folder: created if missing; running again with the same answers changes nothing. With other
            answers (another model or threshold), an image is in the folders of both.
        copy: copy the images instead of linking them. Where links are impossible, images are
            copied in any case.

    Raises:
        FoodvisionError: if the folder cannot be created.

    """

    def __init__(self, folder: Path, copy: bool = False) -> None:
        self.folder, self._copy = folder, copy
        self._counts: Counter[str] = Counter()
        self._not_files = 0
        self._folders: dict[str | None, Path] = {}
        self._used: Counter[Path] = Counter()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FoodvisionError(cannot_write(folder, error)) from error

    def sort(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """The same predictions, each when its image is in its folder.

        Raises:
            FoodvisionError: if a link or a copy cannot be written.

        """
        for row in predictions:
            source = Path(row.path)
            if row.label is not None and not os.path.lexists(source):  # a URL, or stdin
                self._not_files += 1
            elif row.label is not None and not self._is_inside(source):
                folder = self._folder_of(row)
                try:
                    folder.mkdir(exist_ok=True)
                    self._place(source.absolute(), folder)
                except OSError as error:
                    raise FoodvisionError(cannot_write(folder, error)) from error
                self._counts[folder.name] += 1
            yield row

    def summary(self) -> str:
        """How many images are in which folder, in one line."""
        listed = ", ".join(f"{n} {printable(name)}" for name, n in sorted(self._counts.items()))
        more = f"; {self._not_files} not sorted (not local files)" if self._not_files else ""
        return f"sorted into {printable(str(self.folder))}: {listed or 'none'}{more}"

    def _is_inside(self, source: Path) -> bool:
        """Whether the image was found in the folder itself, where an earlier run put it."""
        return source.parent.resolve().is_relative_to(self.folder.resolve())

    def _folder_of(self, row: Prediction) -> Path:
        """The folder of a class: different for each, on file systems without upper case too."""
        if not self._folders:
            used: set[str] = set()
            for label in (None, *sorted(row.probabilities)):
                name = UNSURE if label is None else folder_name(label)
                numbered = (name if n == 1 else f"{name}-{n}" for n in count(1))
                name = next(name for name in numbered if name.casefold() not in used)
                used.add(name.casefold())
                self._folders[label] = self.folder / name
        return self._folders[None if row.sure is False else row.label]

    def _place(self, source: Path, folder: Path) -> None:
        """Link or copy an image; beside an image of the same name, with a number."""
        name = folder / source.name
        while True:
            self._used[name] += 1
            target = folder / _numbered(source.name, self._used[name])
            if not os.path.lexists(target):
                self._write(source, target)
                return
            if target.exists() and filecmp.cmp(source, target, shallow=False):
                return

    def _write(self, source: Path, target: Path) -> None:
        if not self._copy:
            try:
                target.symlink_to(source)
                return
            except FileExistsError:
                raise  # another process wrote it just now
            except (OSError, NotImplementedError) as error:
                log.warning("%s: links are not possible (%s): copying", self.folder, error)
                self._copy = True
        with replacing(target) as temporary:
            shutil.copy2(source, temporary)


def folder_name(label: str) -> str:
    """A class name as that of one folder on any file system: never a path, never hidden."""
    plain = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in label)
    return _shortened(plain.strip(" ."), MAX_NAME_BYTES) or "_"


def _numbered(name: str, number: int) -> str:
    """The name itself for 1; then ``name-2.jpg`` and so on."""
    stem, suffix = Path(name).stem, Path(name).suffix
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        stem, suffix = _shortened(stem, MAX_NAME_BYTES - 20), _shortened(suffix, 20)
    return f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}"


def _shortened(text: str, size: int) -> str:
    return os.fsencode(text)[:size].decode("utf-8", "ignore")
