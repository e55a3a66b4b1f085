"""The one progress bar: items done, speed and time left, on stderr.

It shows nothing unless stderr is a terminal, so a log file has no bars in it.
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f} {task.fields['unit']}/s" if speed else "")


def progress_bar(unit: str = "images") -> Progress:
    """Return a bar for `with`; `add_task` takes the ``unit`` and an ``info`` text to show.

    For ``bytes`` it shows MB and MB/s, and its tasks need no unit.
    """
    console = Console(stderr=True)
    columns: tuple[ProgressColumn, ...] = (MofNCompleteColumn(), _RateColumn())
    if unit == "bytes":
        columns = (DownloadColumn(), TransferSpeedColumn())
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
