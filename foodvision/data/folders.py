"""A folder that is written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder for `with`; it becomes `out` when the block succeeds, else nothing.

    Args:
        out: a folder that does not exist yet, or an empty one.

    Raises:
        OSError: if it cannot be written, or is not empty any more at the end.

    """
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)  # mkdtemp's folders are for their maker only
        unfinished.rename(out)
    except BaseException:  # Ctrl-C included
        shutil.rmtree(unfinished, ignore_errors=True)  # what went wrong first is what counts
        raise
