"""Child processes that begin with torch imported, for tests that kill or limit a process.

Each is forked from one that has imported what all need, which takes seconds, and nothing else.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
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
    (ended,) = _run(program, arguments, [{}], [Path.cwd()])
    return ended


def run_ranks(
    folders: list[Path], program: str, *arguments: str, per_machine: int = 2
) -> list[CompletedProcess[str]]:
    """The same as ranks of torch.distributed, each in a folder of its own, until all have ended."""
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": str(len(folders))}
    common["LOCAL_WORLD_SIZE"] = str(per_machine)
    ranks = [
        common | {"RANK": str(rank), "LOCAL_RANK": str(rank % per_machine)}
        for rank in range(len(folders))
    ]
    return _run(program, arguments, ranks, folders)


def _run(
    program: str,
    arguments: tuple[str, ...],
    environments: list[dict[str, str]],
    folders: list[Path],
) -> list[CompletedProcess[str]]:
    """One process for each environment, which is added to this one, and folder to run in."""
    with TemporaryDirectory() as temporary:
        started = []
        for i, (environment, folder) in enumerate(zip(environments, folders, strict=True)):
            files = [Path(temporary, f"{name} {i}") for name in ("out", "err")]
            given = (program, arguments, files, os.environ | environment, folder)
            process = _CONTEXT.Process(target=_execute, args=given)
            process.start()
            started.append((process, files))
        ended = []
        for process, files in started:
            process.join()
            assert process.exitcode is not None
            out, err = (file.read_text(encoding="utf-8") for file in files)
            ended.append(CompletedProcess([program, *arguments], process.exitcode, out, err))
        return ended


def _execute(
    program: str,
    arguments: tuple[str, ...],
    files: list[Path],
    environment: Mapping[str, str],
    folder: Path,
) -> None:
    gc.freeze()  # see `tests.conftest`
    for descriptor, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["-c", *arguments]
    exec(program, {"__name__": "__main__"})
