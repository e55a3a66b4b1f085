"""What may be imported without torch, which takes seconds to load."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "data",
        "rows.inputs",
        "rows.output",
        "classifier.output",
        "classifier.predict",
        "classifier.info",
        "drawings",
        "training.recipe",
        "training.settings",
        "cli",
    ],
)
def test_torch_is_not_imported_by(module: str) -> None:
    program = f"import sys, foodvision.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
