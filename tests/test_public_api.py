from __future__ import annotations

import importlib
import subprocess
import sys

import foodvision


def test_every_public_name_exists_and_is_listed_once() -> None:
    assert foodvision.__all__ == sorted(foodvision._MODULES)
    for name in foodvision.__all__:
        value = getattr(foodvision, name)
        home = importlib.import_module(f"foodvision.{foodvision._MODULES[name]}")
        assert value is getattr(home, name)
        assert value.__doc__, name
    assert not hasattr(foodvision, "nosuch")


def test_importing_foodvision_does_not_import_torch() -> None:
    program = "import sys, foodvision; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
