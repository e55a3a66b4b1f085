"""Captions as text files beside their images: ``photo.jpg`` gets ``photo.txt``.

No file that is there already is overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from foodvision.captioning.caption import Caption
from foodvision.errors import FoodvisionError
from foodvision.files.atomic import cannot_write, replacing


class TextFiles:
    """Writes the captions of an image, one per line, beside it."""

    def __init__(self) -> None:
        self.written = self._others = self._not_files = 0

    def write(self, captions: Iterable[Caption]) -> Iterator[Caption]:
        """The same captions, each when its file is there.

        Raises:
            FoodvisionError: if a file cannot be written.

        """
        for row in captions:
            if row.error is None:
                self._write(row)
            yield row

    def _write(self, row: Caption) -> None:
        image = Path(row.path)
        if not image.is_file():  # a URL, or stdin
            self._not_files += 1
            return
        path, text = image.with_suffix(".txt"), "\n".join(row.captions) + "\n"
        content = text.encode("utf-8", "backslashreplace")
        try:
            if path.is_symlink() or path.exists():
                # The same content is that of a run before, or of this one before it was stopped.
                same = path.is_file() and path.read_bytes() == content
                self.written += same
                self._others += not same
                return
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise FoodvisionError(cannot_write(path, error)) from error
        self.written += 1

    def summary(self) -> str:
        """How many files there are, in one line."""
        text = f"text files: {self.written}"
        if self._others:
            text += f"; {self._others} with another content were there already and are unchanged"
        if self._not_files:
            text += f"; {self._not_files} are not local files"
        return text
