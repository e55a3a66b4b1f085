"""The memory that code takes, measured in a separate process."""

from __future__ import annotations

import subprocess
import sys

import pytest

_MEASURED = """
import re, sys
from pathlib import Path
def peak():  # not getrusage's: that begins with the parent's
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
{setup}
before = peak()
{code}
print(peak() - before)
"""


def memory_of(setup: str, code: str, *arguments: str) -> int:
    """Bytes by which `code` raises the peak after `setup`; both find `arguments` in sys.argv."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    command = [sys.executable, "-c", _MEASURED.format(setup=setup, code=code), *arguments]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
