"""The folder of a run: who may use it, and what lies in it beside the model."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from foodvision.data import TrainingSplits
from foodvision.errors import DataError, FoodvisionError
from foodvision.files.atomic import cannot_write, replacing
from foodvision.training.checkpoint import Checkpoints
from foodvision.training.recipe import Recipe

RECIPE, SPLITS, HISTORY = "recipe.json", "split.csv", "history.jsonl"


class RunFolder:
    """A folder with recipe.json, split.csv, history.jsonl and checkpoints/."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")

    def claim(self, recipe: Recipe, start: str | None) -> None:
        """Make the folder of a new run, or refuse it, before any work is done.

        Args:
            recipe: all settings.
            start: see `foodvision.training.start.Start.sha256`.

        Raises:
            FoodvisionError: if something else is there, or it cannot be written.

        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if (self.path / RECIPE).exists():
                raise FoodvisionError(
                    f"{self.path}: holds a run; go on with it by --resume, or choose another --out"
                )
            if any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise FoodvisionError(f"{self.path}: is not empty; choose another --out")
            self.write_json(RECIPE, {"start": start} | recipe.model_dump())
        except OSError as error:
            raise FoodvisionError(
                f"{cannot_write(self.path, error)}; choose another --out"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process out, for as long as this one lives.

        Raises:
            FoodvisionError: if another one is at work here.

        """
        try:
            with FileLock(self.path / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise FoodvisionError(
                f"{self.path}: another process is training here; wait for its end, or stop it"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write into the folder; failures become one line that says how to go on.

        Raises:
            FoodvisionError: if it cannot be written, or the run has gone: a disk that was unmounted
                is not written through.

        """
        try:
            (self.path / RECIPE).stat()
            yield
        except (OSError, SafetensorError) as error:
            way_on = (
                "the last checkpoint is kept: mend that, then go on with the same command and "
                "--resume"
                if self.path.exists()
                else "the folder has gone: put it back and --resume, or start anew"
            )
            raise FoodvisionError(f"{cannot_write(self.path, error)}; {way_on}") from error

    @property
    def identity(self) -> str:
        """The same for a run and its resumptions, another for every other run."""
        begun = (self.path / RECIPE).stat().st_mtime_ns
        return hashlib.sha256(f"{self.path.resolve()} {begun}".encode()).hexdigest()[:16]

    def recipe(self) -> Recipe:
        """The settings of the run that is here.

        Raises:
            FoodvisionError: if there is none.

        """
        values = self._read()
        del values["start"]
        try:
            return Recipe(**values)
        except (ValueError, TypeError) as error:  # pydantic's is a ValueError
            reason = str(error).partition("\n")[0]
            raise FoodvisionError(f"{self.path / RECIPE}: is damaged ({reason})") from error

    def _read(self) -> dict[str, Any]:
        """The recipe's settings, and under ``start`` what `claim` was given."""
        try:
            content: dict[str, Any] = json.loads((self.path / RECIPE).read_text("utf-8"))
            content["start"]
        except FileNotFoundError as error:
            raise FoodvisionError(
                f"{self.path}: no run to go on with; leave --resume out, or give the run's --out"
            ) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FoodvisionError(f"{self.path / RECIPE}: is damaged ({error})") from error
        return content

    def check_start(self, start: str | None) -> None:
        """Make sure that a run goes on with the weights that it began with.

        Raises:
            FoodvisionError: if they are others now.

        """
        if start != self._read()["start"]:
            raise FoodvisionError(
                f"{self.path}: the weights have changed since this run began; put them back, or "
                "start anew with another --out"
            )

    def write_splits(self, splits: TrainingSplits) -> None:
        """Write down which image is in which split, and which cannot be opened.

        Raises:
            DataError: if the run began with other images.

        """
        path, content = self.path / SPLITS, splits.to_csv().encode()
        if path.exists() and path.read_bytes() != content:
            raise DataError(
                f"{path}: the data set has changed since this run began; put it back, or start "
                "anew with another --out"
            )
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        if splits.unreadable:
            with (self.path / "unreadable.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["name", "reason"])
                writer.writerows((error.source, error.reason) for error in splits.unreadable)

    def write_history(self, epochs: Iterable[dict[str, Any]]) -> None:
        """Write one line for each epoch; all of them, because a resumed run may be behind."""
        with replacing(self.path / HISTORY) as temporary:
            temporary.write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs), "utf-8")

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a file of plain types."""
        with replacing(self.path / name) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
