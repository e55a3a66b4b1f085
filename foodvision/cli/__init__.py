"""The command line: the list of commands, and the one place where errors end.

Each file of this folder defines the commands of one intention and holds no logic of its own. Heavy
libraries are imported by the command that needs them: `foodvision --help` imports no torch.
"""

from __future__ import annotations

import codecs
import io
import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from foodvision.cli import caption, data, measure, paper, predict, publish, train
from foodvision.errors import FoodvisionError, OtherRankError, RunInterruptedError
from foodvision.progress import log_to_stderr
from foodvision.text import printable

app = typer.Typer(
    name="foodvision",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the time of --help
)
app.command()(train.demo)
app.add_typer(data.app, name="data")
app.command()(train.choose)
app.command()(train.train)
app.command()(measure.evaluate)
app.command()(measure.compare)
app.command()(measure.benchmark)
app.command()(measure.explain)
app.command()(measure.info)
app.command()(predict.predict)
app.command()(publish.export)
app.command("app")(publish.open_app)
app.command()(publish.deploy)
app.command()(publish.push)
app.command()(caption.caption)
app.command("caption-app")(caption.open_caption_app)
app.add_typer(paper.app, name="paper")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What a terminal cannot show, as JSON escapes it: not every one has × and —."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def main() -> None:
    """Run the command line: exit 0 on success, 1 with one line on failure, 2 on wrong usage."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    codecs.register_error("foodvision", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if it is closed
            # By line into a file too: the app's address is read while it runs.
            stream.reconfigure(errors="foodvision", line_buffering=True)
    try:
        with log_to_stderr():
            _check_folder()
            app()
    except KeyboardInterrupt:
        sys.exit(130)
    except RunInterruptedError as interrupted:
        print(f"foodvision: {interrupted}", file=sys.stderr)
        sys.exit(130)
    except OtherRankError:
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        sys.exit(f"foodvision: {_one_line(error)}")


def _check_folder() -> None:
    """Raise FoodvisionError if the current folder is gone, where Intel's MKL ends the process."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise FoodvisionError("the current folder has been deleted: cd to another one") from error


def _one_line(error: Exception) -> str:
    text = printable(" ".join(str(error).split()))
    if isinstance(error, FoodvisionError):
        return text
    if isinstance(error, OSError):
        return printable(f"{error.filename or 'input/output'}: {error.strerror or text}")
    # By name and text: torch may not have been imported, and not all devices raise its class.
    out_of_memory = isinstance(error, RuntimeError) and (
        "out of memory" in text or "allocate memory" in text
    )
    if out_of_memory or type(error).__name__ in ("OutOfMemoryError", "MemoryError"):
        return (
            "not enough memory: use smaller batches (train: --set batch_size=N, "
            "predict: --batch-size N) or --device cpu"
        )
    return f"{type(error).__name__}: {text} (a bug in foodvision; --debug shows the traceback)"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"foodvision {version('foodvision')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """From the paper to a live app: train, measure and serve Vision Transformers."""
