"""One parser under atheris, until a number of inputs is reached.

A crash does not end it: the input is kept, the first one of each place in the code that raised.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

import atheris

from tests.fuzz.mutations import CHANGES

SECONDS, MEBIBYTES = 5, 1024
"""Of one input: processor time and memory."""


def fuzz(name: str, count: int, folder: Path, crashes: Path, longest: int) -> NoReturn:
    """Fuzz, write result.json and end the process: libFuzzer does not return.

    Args:
        name: of the parser.
        count: of inputs.
        folder: with the first inputs in ``corpus``; for whatever is written.
        crashes: folder for the inputs that crash the parser, and the slowest one.
        longest: bytes of an input.

    """
    campaign = Campaign(name, count, folder, crashes)

    def mutate(content: bytes, max_size: int, seed: int) -> bytes:
        if name in CHANGES and seed % 4:
            try:
                return CHANGES[name](content, seed)[:max_size]
            except (ValueError, RecursionError):
                pass
        return atheris.Mutate(content, max_size)

    options = [f"-max_len={longest}", f"-artifact_prefix={crashes}/{name}-", "-verbosity=0"]
    options += ["-timeout=100", f"-rss_limit_mb={campaign.at_start + MEBIBYTES}"]
    words = [sys.argv[0], *options, str(folder / "corpus")]
    atheris.Setup(words, campaign.try_one, custom_mutator=mutate)
    atheris.Fuzz()
    raise AssertionError("libFuzzer has returned")


class Campaign:
    """Feeds one parser and counts; the arguments are those of `fuzz`."""

    def __init__(self, name: str, count: int, folder: Path, crashes: Path) -> None:
        from foodvision.errors import FoodvisionError
        from tests.fuzz.parsers import PARSERS

        (folder / "scratch").mkdir()
        self.parser = PARSERS[name](folder / "scratch")
        self.refusal = FoodvisionError
        self.name, self.count, self.folder, self.crashes = name, count, folder, crashes
        self.inputs = self.refused = 0
        self.found: dict[str, str] = {}
        self.seconds, self.at_start = 0.0, _mebibytes()

    def try_one(self, content: bytes) -> None:
        """Called by libFuzzer."""
        started = time.process_time()  # other processes do not slow it
        try:
            self.parser(content)
        except self.refusal:
            self.refused += 1
        except Exception as error:
            self._keep(content, error)
        if (seconds := time.process_time() - started) > self.seconds:
            self.seconds = seconds
            (self.crashes / f"{self.name}-slowest").write_bytes(content)
        self.inputs += 1
        if self.inputs % 100 == 0:  # where `datasets` keeps all rows that it has ever read
            shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)
        if self.inputs >= self.count:
            self._finish()

    def _keep(self, content: bytes, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        if place not in self.found:
            self.found[place] = f"{self.name}: {place}: {error!r:.200}"
            kept = self.crashes / f"{self.name}-{len(self.found)}"
            kept.write_bytes(content)
            trace = "".join(traceback.format_exception(error))
            Path(f"{kept}.txt").write_text(trace, "utf-8", "backslashreplace")

    def _finish(self) -> None:
        result = {"inputs": self.inputs, "refused": self.refused, "seconds": self.seconds}
        result |= {"mebibytes": _mebibytes() - self.at_start, "crashes": [*self.found.values()]}
        (self.folder / "result.json").write_text(json.dumps(result))
        os._exit(0)


def _mebibytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
