"""A real browser for the tests of the apps."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator

import pytest

# Chromium as root in a container; and no look-ups of unreachable hosts.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def chromium() -> str:
    """The browser's path; required in CI, optional elsewhere."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    assert path, "CI has no Chromium: .ci/run installs it"
    return path


@pytest.fixture(autouse=True, scope="module")
def collected_here() -> Iterator[None]:
    """Collect Gradio's leftovers now, so that their warnings do not fail a later test."""
    yield
    gc.collect()
