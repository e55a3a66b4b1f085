from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "foodvision.models.config",
        "foodvision.weights.from_transformers",
        "foodvision.weights.repository",
    ],
)
def test_what_describes_a_network_is_read_without_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
