"""The progress of long work, on stderr: a bar on a terminal, a few log lines anywhere else.

Log files, notebooks and Slurm get no bars: work that takes long says so after some seconds, and
again whenever its time has doubled. `log_to_stderr` and `show_log` decide who sees these lines.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from foodvision.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds of work before the first line."""


def progress_bar(unit: str = "images") -> Progress | ProgressLines:
    """Return a bar for `with`; `add_task` takes the ``unit`` and an ``info`` text to show.

    For ``bytes`` it shows MB and MB/s, and its tasks need no unit.
    """
    if not (sys.stderr and sys.stderr.isatty() and is_first_process()):
        return ProgressLines(unit)
    from rich import progress  # a fifth of the time that importing foodvision.data takes
    from rich.console import Console
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.0f} {task.fields.get('unit', unit)}/s" if speed else "")

    columns: tuple[progress.ProgressColumn, ...] = (progress.MofNCompleteColumn(), Rate())
    if unit == "bytes":
        columns = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *columns,
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[info]}"),
        console=Console(stderr=True),
        transient=True,
    )


class ProgressLines:
    """Log lines in place of a bar, with the methods of Rich's `Progress` that foodvision calls.

    Attributes:
        console: None: there is no terminal to print above a bar.

    """

    console = None

    def __init__(self, unit: str) -> None:
        self.unit, self.entered, self.due = unit, time.monotonic(), PATIENCE

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *error: object) -> None:
        """There is nothing to take off the screen."""

    def add_task(
        self,
        description: str,
        total: float | None = None,
        completed: float = 0,
        unit: str | None = None,
        info: str = "",
    ) -> TaskID:
        """Begin the one task; what is completed already took no time."""
        self.unit = unit or self.unit
        self.description, self.total = description, total
        self.completed, self.begun = completed, completed
        self.started, self.said = time.monotonic(), False
        return 0  # type: ignore[return-value]

    def reset(self, task: TaskID, description: str, info: str = "") -> None:
        """Begin the task once more, under another name."""
        self.add_task(description, self.total)

    def advance(self, task: TaskID, advance: float = 1) -> None:
        """Count more of it as done."""
        self.update(task, advance=advance)

    def update(
        self,
        task: TaskID,
        advance: float = 0,
        completed: float | None = None,
        total: float | None = None,
        info: str = "",
    ) -> None:
        """Note how much is done; log it if that has taken long."""
        now = time.monotonic()
        if self.completed == self.begun:  # the first images wait for what loads
            self.entered = now
        self.completed = self.completed + advance if completed is None else completed
        self.total = total or self.total
        seconds, finished = now - self.started, self.completed == self.total
        if finished and self.said:
            log.info("%s: %s in %s", self.description, self._count(), duration(seconds))
            self.said = False
        elif not finished and now - self.entered > self.due and self.completed > self.begun:
            self.due, self.said = 2 * (now - self.entered), True
            rate = (self.completed - self.begun) / seconds
            left = (self.total - self.completed) / rate if self.total else PATIENCE
            if left >= PATIENCE:  # or its end says enough
                rest = f", about {duration(left)} for the rest" if self.total else ""
                log.info("%s: %s%s", self.description, self._count(), rest)

    def _count(self) -> str:
        scale, unit = (1e6, "MB") if self.unit == "bytes" else (1, self.unit)
        of = f" of {self.total / scale:,.0f}" if self.total not in (None, self.completed) else ""
        return f"{self.completed / scale:,.0f}{of} {unit}"


def duration(seconds: float) -> str:
    """Seconds as text in the unit that suits them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Within `with`, print foodvision's log lines of level INFO and above.

    Of several processes that train together, only the first prints INFO.
    """
    logger, handler = logging.getLogger("foodvision"), _ToStderr()
    level = logger.level
    logger.setLevel(logging.INFO if is_first_process() else logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def show_log() -> Iterator[None]:
    """As `log_to_stderr`, unless the caller has set the level of foodvision's log.

    Python prints no line of level INFO on its own, so a notebook would show nothing for hours.
    """
    logger = logging.getLogger("foodvision")
    if logger.level or logger.isEnabledFor(logging.INFO):
        yield
    elif logger.hasHandlers():  # of the root logger, as on Colab: they would print it again
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(logging.NOTSET)
    else:
        with log_to_stderr():
            yield


def is_first_process() -> bool:
    """Whether this is the one process that reports, of all that torchrun or accelerate started."""
    return os.environ.get("RANK", "0") == "0"


class _ToStderr(logging.Handler):
    """Prints on what stderr is at the moment: Rich replaces it while it shows a bar."""

    def emit(self, record: logging.LogRecord) -> None:
        try:  # lines name files and classes, which can be named anything
            print(printable(self.format(record)), file=sys.stderr)
        except OSError:
            self.handleError(record)
