"""The prediction for one image, and the images that a user names to be predicted."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foodvision.data.folder import files_below, is_image, warn_of_left_out
from foodvision.errors import DataError
from foodvision.images.decode import MAX_DOWNLOAD_BYTES, ImageSource, is_url


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        path: where the image came from.
        label: the most probable class; None if the image could not be opened.
        probability: of that class, in 0-1.
        probabilities: of every class, summing to 1, the most probable first.
        sure: False if the probability is below the threshold, or if the image is unlike those the
            classifier knows; None if it has not been calibrated and there is no threshold.
        error: why the image could not be opened; None if it was.

    """

    path: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    sure: bool | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)


def answer(
    path: str,
    logits: np.ndarray,
    classes: Sequence[str],
    threshold: float | None = None,
    familiar: bool = True,
) -> Prediction:
    """The prediction that K logits are, for K classes; see `Prediction.sure` for the last two."""
    # Not scipy.special.softmax, whose import takes a quarter of a second.
    odds = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = odds / odds.sum()
    order = np.argsort(-probabilities, kind="stable")
    ranked = {classes[i]: float(probabilities[i]) for i in order}
    label = next(iter(ranked))
    sure = None if threshold is None else ranked[label] >= threshold and familiar
    return Prediction(path, label, ranked[label], ranked, sure)


def name_of(source: ImageSource) -> str:
    """What a prediction calls its image."""
    return str(source) if isinstance(source, str | Path) else "<image>"


def find_inputs(inputs: Iterable[str]) -> tuple[list[ImageSource], list[Prediction]]:
    """The images that the user typed: files, folders, globs, URLs, and ``-`` for stdin.

    Folders include their subfolders. In folders and globs, files without the suffix of an image
    are left out and counted in one line; a file that is named itself is always tried.

    Returns:
        The images, and a `Prediction` with the error for each input without images.

    Raises:
        DataError: if there are no images at all.

    """
    sources: list[ImageSource] = []
    missing: list[Prediction] = []
    for text in inputs:
        try:
            sources += _images_of(text)
        except OSError as error:
            missing.append(Prediction(text, error=f"cannot be read ({error.strerror})"))
        except DataError as error:
            missing.append(Prediction(text, error=str(error)))
    if not sources and missing:
        raise DataError("; ".join(f"{shown(row.path)}: {row.error}" for row in missing[:3]))
    return sources, missing


def shown(path: str) -> str:
    """A path as it is printed: an empty one in quotes."""
    return path if path.strip() else repr(path)


def _images_of(text: str) -> list[ImageSource]:
    """The images that one input stands for."""
    if text == "-":
        content = sys.stdin.buffer.read(MAX_DOWNLOAD_BYTES + 1)
        if len(content) > MAX_DOWNLOAD_BYTES:
            raise DataError(f"standard input is larger than {MAX_DOWNLOAD_BYTES / 1e6:.0f} MB")
        return [content]
    if not text.strip():
        raise DataError("is empty; give a file, folder, glob or URL, such as . for this folder")
    is_folder = not is_url(text) and Path(text).is_dir()
    if is_url(text) or (Path(text).exists() and not is_folder):
        return [text]
    matches = [text] if is_folder else sorted(glob.glob(text, recursive=True))  # noqa: PTH207
    if not matches:
        raise DataError("no such file or folder")
    # A dict, because ** matches a folder as well as its files.
    files = dict.fromkeys(
        file
        for match in map(Path, matches)
        for file in (files_below(match) if match.is_dir() else [match])
    )
    images = [file for file in files if is_image(file)]
    if not images and not is_folder:  # such as '*.dat': try what the glob names
        images = [file for file in map(Path, matches) if file.is_file()]
    if not images:
        raise DataError("no images in this folder")
    warn_of_left_out(text, files.keys() - set(images))
    return [str(image) for image in images]
