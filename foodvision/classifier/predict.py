"""Many images in, one row for each out: on the screen, as JSON, CSV or JSON lines."""

from __future__ import annotations

import csv
import glob
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from foodvision.data.folder import files_below, is_image, warn_of_left_out
from foodvision.errors import DataError, FoodvisionError
from foodvision.files.atomic import cannot_write
from foodvision.images.decode import ImageSource, is_url
from foodvision.progress import progress_bar

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        path: where the image came from.
        label: the most probable class; None if the image could not be opened.
        probability: of that class, in 0-1.
        probabilities: of every class, summing to 1, the most probable first.
        sure: whether the classifier is sure; None until it is calibrated.
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


def answer(path: str, logits: np.ndarray, classes: Sequence[str]) -> Prediction:
    """The prediction that K logits are, for K classes."""
    # Not scipy.special.softmax, whose import takes a quarter of a second.
    odds = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = odds / odds.sum()
    order = np.argsort(-probabilities, kind="stable")
    ranked = {classes[i]: float(probabilities[i]) for i in order}
    label = next(iter(ranked))
    return Prediction(path, label, ranked[label], ranked)


def name_of(source: ImageSource) -> str:
    """What a prediction calls its image."""
    return str(source) if isinstance(source, str | Path) else "<image>"


def find_inputs(inputs: Iterable[str]) -> list[ImageSource]:
    """The images that the user typed: files, folders, globs, URLs, and ``-`` for stdin.

    Folders include their subfolders. In folders and globs, files without the suffix of an image
    are left out and counted in one line; a file that is named itself is always tried.

    Raises:
        DataError: if an input matches no image.

    """
    sources: list[ImageSource] = []
    for text in inputs:
        if text == "-":
            sources.append(sys.stdin.buffer.read())
        elif is_url(text) or Path(text).is_file():
            sources.append(text)
        else:
            sources += _images_of(text)
    return sources


def _images_of(text: str) -> list[str]:
    """The images in a folder, or in the files and folders that a glob matches."""
    is_folder = Path(text).is_dir()
    matches = [text] if is_folder else sorted(glob.glob(text, recursive=True))  # noqa: PTH207
    if not matches:
        raise DataError(f"{text}: no such file or folder")
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
        raise DataError(f"{text}: no images in this folder")
    warn_of_left_out(text, files.keys() - set(images))
    return [str(image) for image in images]


def write_predictions(
    predictions: Iterator[Prediction], total: int, out: Path | None, as_json: bool
) -> None:
    """Write each prediction as it comes, to `out` (.csv or .jsonl) or to stdout.

    Raises:
        FoodvisionError: if `out` has another ending or cannot be written, or if no image at
            all could be opened.

    """
    if out and out.suffix not in (".csv", ".jsonl"):
        raise FoodvisionError(f"--out {out}: must end in .csv or .jsonl")
    failed: list[Prediction] = []

    def watched() -> Iterator[Prediction]:
        with progress_bar() as bar:
            task = bar.add_task("predicting", total=total, unit="images", info="")
            for prediction in predictions:
                bar.advance(task)
                if prediction.error:
                    failed.append(prediction)
                yield prediction

    if out:
        try:
            with out.open("w", newline="", encoding="utf-8") as file:
                (_write_csv if out.suffix == ".csv" else _write_jsonl)(watched(), file)
        except OSError as error:
            raise FoodvisionError(cannot_write(out, error)) from error
    elif as_json:
        print(json.dumps([prediction.to_dict() for prediction in watched()], ensure_ascii=False))
    else:
        _write_lines(watched(), total)
    if failed and len(failed) == total:
        first = f"{failed[0].path}: {failed[0].error}"
        raise FoodvisionError(first if total == 1 else f"no image can be opened; {first}")
    if failed:
        log.warning("%d of %d images cannot be opened", len(failed), total)


def _write_lines(predictions: Iterator[Prediction], total: int) -> None:
    for prediction in predictions:
        if prediction.probability is not None:
            print(f"{prediction.probability:6.1%}  {prediction.label:<16}  {prediction.path}")
        elif total > 1:  # a single one ends the command with this line
            log.warning("%s: %s", prediction.path, prediction.error)


def _write_jsonl(predictions: Iterator[Prediction], file: TextIO) -> None:
    for prediction in predictions:
        file.write(json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n")


def _write_csv(predictions: Iterator[Prediction], file: TextIO) -> None:
    writer = csv.writer(file)
    writer.writerow(["path", "label", "probability", "sure", "error"])
    for row in predictions:
        writer.writerow([row.path, row.label, row.probability, row.sure, row.error])
