"""Everything that goes out with a release, and whether it works: what `make release` runs.

    .venv/bin/python -m release

Builds the wheel and the sdist into ``dist/``, uses the wheel as a user would, in new environments
with the lowest and the highest versions that it allows, and writes beside it what it is made of.
The exit code is 1 if a command fails, or if a pinned version has a known vulnerability.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from release.bill import vulnerable, write_bill
from release.environment import UV, build_environment
from release.user import use

PYTHONS = {"lowest-direct": "3.11", "highest": "3.13"}
"""For uv's ways to choose versions, the version of Python that goes with it."""
DIST = Path("dist")


def main() -> None:
    """Print a line for each thing done."""
    subprocess.run([UV, "build", "--quiet", "--out-dir", DIST], check=True)
    wheel = max(DIST.glob("*.whl"), key=lambda path: path.stat().st_mtime).resolve()
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB", flush=True)
    for resolution, python in PYTHONS.items():
        with tempfile.TemporaryDirectory() as folder:
            use(build_environment(Path(folder), python, resolution), wheel)
    with tempfile.TemporaryDirectory() as folder:
        pinned = build_environment(Path(folder), "3.11", "highest")
        pinned.install(wheel, "app,caption,data,export,ray,timm", constraints="constraints.txt")
        write_bill(pinned, wheel)
    sys.exit(vulnerable(Path("constraints.txt")))


if __name__ == "__main__":
    main()
