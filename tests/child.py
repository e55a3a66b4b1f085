"""Child processes that begin with torch imported, for tests that kill or limit a process.

Each is forked from one that has imported what all need, which takes seconds, and nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

_METHODS = multiprocessing.get_all_start_methods()
_CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in _METHODS else "spawn")
_CONTEXT.set_forkserver_preload(["foodvision.training.run"])


def run_program(program: str, *arguments: str) -> CompletedProcess[str]:
    """Run Python code with arguments, in this folder and environment, and wait for it."""
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("out", "err")]
        given = (program, arguments, files, dict(os.environ), Path.cwd())
        process = _CONTEXT.Process(target=_execute, args=given)
        process.start()
        process.join()
        assert process.exitcode is not None
        out, err = (file.read_text(encoding="utf-8") for file in files)
        return CompletedProcess([program, *arguments], process.exitcode, out, err)


def _execute(
    program: str,
    arguments: tuple[str, ...],
    files: list[Path],
    environment: Mapping[str, str],
    folder: Path,
) -> None:
    for descriptor, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["-c", *arguments]
    exec(program, {"__name__": "__main__"})
