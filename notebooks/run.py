"""Execute the notebooks side by side, each from top to bottom in a clean kernel and its own folder.

    make notebooks                                            # all, checked
    .venv/bin/python notebooks/run.py 08 --save               # and its outputs kept in the file
    .venv/bin/python notebooks/run.py 08 --set DATA=mini20    # with another value of a setting

A cell that fails, or a notebook that takes longer than `MAX_SECONDS`, fails the command. The
checkout is not written to, except by `--save`; `tests/test_notebooks.py` checks what it keeps.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).parent
MAX_SECONDS = 900
"""Of a notebook: two to three minutes on a processor with AVX-512; up to nine on one with AVX2
alone that executes another beside it."""

COLOURS = 64
"""Of a saved figure."""


def main() -> int:
    """Run what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="how its file name begins")
    parser.add_argument("--save", action="store_true", help="keep the outputs in the notebook")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--limit", type=float, default=MAX_SECONDS, help="seconds of a notebook")
    parser.add_argument("--out", type=Path, help="folder for the executed notebooks")
    given = parser.parse_args()
    if given.save and given.settings:
        parser.error("--save keeps what the notebook itself says: leave out --set")
    if unset := [setting for setting in given.settings if "=" not in setting]:
        parser.error(f"--set {unset[0]}: give NAME=VALUE; the value is a text")
    paths = [
        path
        for path in sorted(FOLDER.glob("*.ipynb"))
        if not given.names or path.name.startswith(tuple(given.names))
    ]
    if not paths:
        print(f"no notebook begins with {', '.join(given.names)}", file=sys.stderr)
        return 1
    settings = dict(setting.split("=", 1) for setting in given.settings)
    with ProcessPoolExecutor() as pool:  # a notebook keeps one core busy
        return max(pool.map(_run, paths, repeat(settings), repeat(given)))


def _run(path: Path, settings: dict[str, str], given: argparse.Namespace) -> int:
    notebook = nbformat.read(path, as_version=4)
    executed = _with_settings(notebook, settings)
    started = time.perf_counter()
    try:
        execute(executed, given.limit)
        failure = None
    except CellExecutionError as error:
        failure = str(error)
    except CellTimeoutError:
        failure = f"takes longer than {given.limit:.0f} s"
    seconds = time.perf_counter() - started
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        nbformat.write(executed, given.out / path.name)
    print(f"{path.name}: {seconds:.0f} s{f', failed: {failure}' if failure else ''}", flush=True)
    if failure is None and given.save:
        tidy(executed)
        nbformat.write(executed, path)
    return 1 if failure else 0


def execute(notebook: NotebookNode, limit: float) -> None:
    """Execute in a new folder and a new kernel of this environment, without the Hub.

    Args:
        notebook: gets its outputs.
        limit: seconds for all cells together.

    Raises:
        CellExecutionError: if a cell fails.
        CellTimeoutError: if they take longer.

    """
    end = time.monotonic() + limit
    with tempfile.TemporaryDirectory(prefix="foodvision-notebook-") as folder:
        # Neither a kernel that the user has installed nor the settings of their IPython.
        os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "IPYTHONDIR": folder}
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        work = Path(folder) / "work"
        work.mkdir()
        kernel = AsyncKernelManager(kernel_name="python3")
        if os.name == "posix":  # sockets that only this user can open
            kernel.transport, kernel.ip = "ipc", str(Path(folder) / "kernel")
        NotebookClient(
            notebook,
            km=kernel,
            timeout_func=lambda _: max(1, end - time.monotonic()),
            coalesce_streams=True,
            resources={"metadata": {"path": str(work)}},
        ).execute(cleanup_kc=True)  # a kernel that is given would go on


def tidy(notebook: NotebookNode) -> None:
    """Remove what would differ with every run, and make figures small."""
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = _small(data["image/png"])
                data["text/plain"] = "<Figure>"


def _small(png: str) -> str:
    """A PNG in base64, with few colours."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    file = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _with_settings(notebook: NotebookNode, settings: dict[str, str]) -> NotebookNode:
    """With a cell after the one tagged ``parameters`` that changes its values."""
    if not settings:
        return notebook
    lines = [f"{name} = {value!r}" for name, value in settings.items()]
    changed = nbformat.v4.new_code_cell("\n".join(lines))
    places = [
        i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])
    ]
    notebook.cells.insert(places[0] + 1, changed)
    return notebook


if __name__ == "__main__":
    sys.exit(main())
