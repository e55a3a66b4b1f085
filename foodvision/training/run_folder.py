"""The folder of a run: who may use it, and what it holds beside the model."""

from __future__ import annotations

import csv
import hashlib
import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from foodvision.data import SPLIT_CSV, TrainingSplits
from foodvision.errors import DataError, FoodvisionError, RunInterruptedError
from foodvision.files.atomic import cannot_write, replacing, write_json
from foodvision.files.read import check_regular, read_json
from foodvision.text import to_cell, to_json
from foodvision.training.recipe import Recipe
from foodvision.weights.repository import CARD, CONFIG, PREPROCESSOR, UNSURE, WEIGHTS

if TYPE_CHECKING:
    from foodvision.training.checkpoint import Checkpoints

RECIPE, HISTORY, METRICS = "recipe.json", "history.jsonl", "metrics.json"
UNREADABLE, CHECKPOINTS = "unreadable.csv", "checkpoints"
MODEL = (CONFIG, WEIGHTS, PREPROCESSOR, CARD)
RECORDS = (RECIPE, SPLIT_CSV, HISTORY, METRICS, UNREADABLE)
OWN = (*RECORDS, *MODEL, UNSURE, CHECKPOINTS, "foodvision", "wandb")
"""What a run writes; the last two are the trackers'."""


class RunFolder:
    """A folder with recipe.json, split.csv, history.jsonl and checkpoints/."""

    def __init__(self, path: Path) -> None:
        self.path, self.made = path, False

    @property
    def checkpoints(self) -> Checkpoints:
        """What the run resumes from."""
        from foodvision.training.checkpoint import Checkpoints  # imports torch

        return Checkpoints(self.path / CHECKPOINTS)

    def finished(self) -> bool:
        """Whether the run has ended by itself, and its model is measured."""
        return (self.path / METRICS).exists()

    def exists(self) -> bool:
        """Whether there is a run that can be resumed."""
        return (self.path / RECIPE).exists()

    def check_free(self) -> None:
        """Make sure that nothing else is here.

        Raises:
            FoodvisionError: if the folder holds a run, or anything that is not hidden.

        """
        if self.exists():
            raise FoodvisionError(
                f"{self.path}: holds a run; continue it with --resume and --out {self.path}, or "
                "choose another --out"
            )
        if self.path.is_dir() and any(path.name[0] != "." for path in self.path.iterdir()):
            raise FoodvisionError(f"{self.path}: is not empty; choose another --out")

    def claim(self, data: str, recipe: Recipe, start: str | None, teacher: str | None) -> None:
        """Begin a new run here, before any work is done; the folder is locked.

        Args:
            data: name of the dataset.
            recipe: all settings.
            start: see `foodvision.training.start.Start.sha256`.
            teacher: its SHA-256; None without one.

        Raises:
            FoodvisionError: as `check_free`, or if it cannot be written.

        """
        self.check_free()
        try:
            begun = {"data": data, "start": start, "teacher": teacher}
            write_json(self.path / RECIPE, begun | {"recipe": recipe.model_dump(mode="json")})
        except OSError as error:
            raise FoodvisionError(
                f"{cannot_write(self.path, error)}; choose another --out"
            ) from error

    @contextmanager
    def freed_on_failure(self) -> Iterator[None]:
        """Within `with`, a new run that fails before it saves a checkpoint leaves no trace.

        So the same command can be run again, with what was wrong put right. An interrupted run is
        kept, to be resumed.
        """
        first = self.checkpoints.newest()
        try:
            yield
        except RunInterruptedError:
            raise
        except Exception:
            if self.checkpoints.newest() == first:
                self._free()
            raise

    def _free(self) -> None:
        with suppress(OSError):  # the failure itself is what is reported
            for path in (self.path / name for name in (*OWN, ".lock")):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            if self.made:
                self.path.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder if it is missing, and keep every other process out of it.

        Raises:
            FoodvisionError: if another process is training here, or it cannot be written.

        """
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            self.made = self.made or not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise FoodvisionError(
                f"{self.path}: another process is training here; wait for it to end, or stop it"
            ) from error
        except OSError as error:
            raise FoodvisionError(
                f"{cannot_write(self.path, error)}; choose another --out"
            ) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within `with`, turn a failure to write into one line that says how to resume.

        Raises:
            FoodvisionError: if the folder cannot be written, or has disappeared with its disk.

        """
        try:
            (self.path / RECIPE).stat()
            yield
        except (OSError, SafetensorError) as error:
            advice = f"fix that, then run {self.same_command}"
            if not self.path.exists():
                advice = "the folder has disappeared: put it back and --resume, or start a new run"
            raise FoodvisionError(f"{cannot_write(self.path, error)}; {advice}") from error

    @property
    def same_command(self) -> str:
        """What to run after a failure: see `freed_on_failure`."""
        saved = self.checkpoints.newest()
        return f"the same command {'with --resume' if saved else 'again'}"

    @property
    def identity(self) -> str:
        """A name that a run keeps when it is resumed, and shares with no other run."""
        begun = (self.path / RECIPE).stat().st_mtime_ns
        return hashlib.sha256(f"{self.path.resolve()} {begun}".encode()).hexdigest()[:16]

    def recipe(self) -> Recipe:
        """The settings of the run in this folder.

        Raises:
            FoodvisionError: if there is no run, or its record is damaged.

        """
        values = self.begun()["recipe"]
        try:
            return Recipe(**values)
        except (ValueError, TypeError) as error:  # pydantic's is a ValueError
            reason = str(error).partition("\n")[0]
            raise FoodvisionError(f"{self.path / RECIPE}: is damaged ({reason})") from error

    def begun(self) -> dict[str, Any]:
        """What the run began with: what `claim` was given, by the names of its arguments.

        A run that extends another one has ``extends`` as well: the ``run``, its ``epochs``, and the
        SHA-256 of its last ``checkpoint``.

        Raises:
            FoodvisionError: if there is no run, or its record is damaged.

        """
        try:
            content: dict[str, Any] = read_json(self.path / RECIPE)
            content["data"], content["start"], content["recipe"]
        except FileNotFoundError as error:
            raise FoodvisionError(
                f"{self.path}: no run to resume; leave --resume out, or give the run's --out"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FoodvisionError(f"{self.path / RECIPE}: is damaged ({error})") from error
        return content

    def check_start(self, start: str | None, teacher: str | None) -> None:
        """Check that a resumed run has the weights and the teacher that it began with.

        Raises:
            FoodvisionError: if they have changed.

        """
        begun = self.begun()
        for name, now, then in (
            ("weights have", start, begun["start"]),
            ("teacher has", teacher, begun.get("teacher")),  # runs of older versions have none
        ):
            if now != then:
                raise FoodvisionError(
                    f"{self.path}: the {name} changed since this run began; undo that, or "
                    "start a new run with another --out"
                )

    def write_splits(self, splits: TrainingSplits) -> None:
        """Record which image is in which split, and which images cannot be opened.

        Raises:
            DataError: if the run began with other images.

        """
        path, content = self.path / SPLIT_CSV, splits.to_csv().encode("utf-8", "surrogateescape")
        if path.exists() and check_regular(path).read_bytes() != content:
            raise DataError(
                f"{path}: the dataset has changed since this run began; restore it, or start "
                "a new run with another --out"
            )
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        if splits.unreadable:
            with (self.path / UNREADABLE).open(
                "w", newline="", encoding="utf-8", errors="surrogateescape"
            ) as file:
                writer = csv.writer(file)
                writer.writerow(["name", "reason"])
                for error in splits.unreadable:
                    writer.writerow([to_cell(error.source), to_cell(error.reason)])

    def write_history(self, epochs: Iterable[dict[str, Any]]) -> None:
        """Write one line per epoch: all of them, because the file may be ahead of a resumed run."""
        lines = [
            to_json({key: value if math.isfinite(value) else None for key, value in epoch.items()})
            for epoch in epochs  # JSON has no NaN
        ]
        with replacing(self.path / HISTORY) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def find_run(usual: RunFolder, name: str) -> RunFolder:
    """The one run of a dataset, among all that lie beside the usual folder; else that one.

    Raises:
        FoodvisionError: naming the runs, if there are several.

    """
    found = []
    for path in sorted(usual.path.parent.glob(f"*/{RECIPE}")):
        with suppress(FoodvisionError):  # a damaged run cannot be resumed anyway
            if RunFolder(path.parent).begun()["data"] == name:
                found.append(path.parent)
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise FoodvisionError(f"several runs of {name}: {names}; say which with --out")
    return RunFolder(found[0]) if found else usual
