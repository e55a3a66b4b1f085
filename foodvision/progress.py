"""The one progress bar: items done, speed and time left, on stderr.

It shows nothing unless stderr is a terminal, so a log file has no bars in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, Task


def progress_bar(unit: str = "images") -> Progress:
    """Return a bar for `with`; `add_task` takes the ``unit`` and an ``info`` text to show.

    For ``bytes`` it shows MB and MB/s, and its tasks need no unit.
    """
    from rich import progress  # a fifth of the time that importing the data rooms takes
    from rich.console import Console
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.0f} {task.fields['unit']}/s" if speed else "")

    console = Console(stderr=True)
    columns: tuple[progress.ProgressColumn, ...] = (progress.MofNCompleteColumn(), Rate())
    if unit == "bytes":
        columns = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *columns,
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[info]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
