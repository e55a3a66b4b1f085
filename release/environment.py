"""A new environment with a wheel in it, far from the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.metadata import Metadata

UV = shutil.which("uv") or str(Path(".uv/bin/uv").resolve())


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and an empty folder to work in.

    Attributes:
        bin: where its programs are.
        folder: in which they run.
        resolution: of versions: uv's ``lowest-direct`` or ``highest``.

    """

    bin: Path
    folder: Path
    resolution: str

    def install(self, wheel: Path, extras: str = "", constraints: str | None = None) -> None:
        """Install the wheel with what it needs."""
        words = ["--constraint", constraints] if constraints else []
        subprocess.run(
            [
                *(UV, "pip", "install", "--quiet", "--python", self.bin / "python"),
                *("--compile-bytecode", "--resolution", self.resolution, *words),
                *(f"foodvision[{extras}] @ {wheel.as_uri()}", *dependencies(wheel, extras)),
            ],
            check=True,
        )

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs to its end."""
        return subprocess.run(
            [self.bin / program, *words],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
        )

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables: none that leads to the source tree or to a cache."""
        left_out = ("PYTHON", "HF_", "XDG_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        home = {"HOME": str(self.folder), "GRADIO_ANALYTICS_ENABLED": "False"}
        return kept | home | {"HF_HUB_OFFLINE": "1"}


def dependencies(wheel: Path, extras: str) -> list[str]:
    """What a wheel itself requires, with these extras: ``lowest-direct`` is about what is named."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(name))
    found = []
    for requirement in metadata.requires_dist or []:
        marker, requirement.marker = requirement.marker, None
        if not marker or any(marker.evaluate({"extra": extra}) for extra in extras.split(",")):
            found.append(str(requirement))
    return found


def build_environment(folder: Path, python: str, resolution: str) -> Environment:
    """Make one in a folder.

    Args:
        folder: an empty one.
        python: the version, which must be on this machine.
        resolution: see `Environment`.

    """
    subprocess.run([UV, "venv", "--quiet", "--python", python, folder / "venv"], check=True)
    (folder / "work").mkdir()
    return Environment(folder / "venv" / "bin", folder / "work", resolution)
