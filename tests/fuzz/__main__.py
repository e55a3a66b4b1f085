"""Feeds each parser of foreign bytes with inputs that coverage guides (atheris, libFuzzer).

    .venv/bin/python -m tests.fuzz [--scale 1.0] [--crashes FOLDER] [PARSER ...]

Needs the extra `fuzz`. Prints a Markdown table: inputs tried, how many were refused with a
FoodvisionError, crashes (anything else that was raised, told apart by where), processor time of the
slowest input, and the most memory that was taken beyond what the process had at the start. Exits
with 1 after a crash, an input over 5 s or more than 1 GiB; the input is then in `--crashes`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

from tests.fuzz.campaign import MEBIBYTES, SECONDS, fuzz

INPUTS = {"Parquet": 1_000, "Hub": 3_000, "HTTP": 3_000, "image": 20_000, "PNG": 10_000}
USUAL_INPUTS = 5_000


def main() -> int:
    """Fuzz all parsers, one after the other; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("parsers", nargs="*", metavar="PARSER")
    parser.add_argument("--scale", type=float, default=1.0, help="of the inputs per parser")
    parser.add_argument("--crashes", type=Path, default=Path("crashes"), metavar="FOLDER")
    arguments = parser.parse_args()
    arguments.crashes.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="foodvision-fuzz-") as name:
        folder = Path(name)
        # Read when they are imported.
        os.environ |= {"HF_HOME": str(folder / "cache"), "XDG_CACHE_HOME": str(folder / "cache")}
        with atheris.instrument_imports(include=["foodvision", "PIL", "huggingface_hub.hf_api"]):
            import foodvision.training.run  # noqa: F401
            from tests.fuzz.corpus import seeds
            from tests.fuzz.parsers import PARSERS
        print(
            "| parser | inputs | refused | crashes | slowest, ms | MiB |\n|---|---|---|---|---|---|"
        )
        failed, total = False, 0
        for parser_name in arguments.parsers or PARSERS:
            count = round(INPUTS.get(parser_name, USUAL_INPUTS) * arguments.scale)
            result = _in_a_child(
                parser_name,
                seeds()[parser_name],
                count,
                folder / parser_name,
                arguments.crashes.resolve(),
            )
            total += result["inputs"]
            failed |= _report(parser_name, result)
    print(f"\n{total:,} inputs")
    return int(failed)


def _in_a_child(name: str, contents: list[bytes], count: int, folder: Path, crashes: Path) -> Any:
    """What `fuzz` found in a child process, which can die without ending the others."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for number, content in enumerate(contents):
        (corpus / f"seed-{number}").write_bytes(content)
    sys.stdout.flush()
    if not (child := os.fork()):
        log = os.open(crashes / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        fuzz(name, count, folder, crashes, 2 * max(map(len, contents)))
    os.waitpid(child, 0)
    if not (folder / "result.json").exists():
        dead = f"{name}: the process died; see {crashes / name}.log"
        return {"inputs": 0, "refused": 0, "crashes": [dead], "seconds": 0.0, "mebibytes": 0}
    return json.loads((folder / "result.json").read_text())


def _report(name: str, result: dict[str, Any]) -> bool:
    """Print a row; returns whether the parser failed."""
    print(
        f"| {name} | {result['inputs']:,} | {result['refused']:,} | {len(result['crashes'])} "
        f"| {1000 * result['seconds']:.0f} | {result['mebibytes']} |",
        flush=True,
    )
    for crash in result["crashes"]:
        print(crash, file=sys.stderr)
    over = result["seconds"] > SECONDS or result["mebibytes"] > MEBIBYTES
    return over or bool(result["crashes"])


if __name__ == "__main__":
    sys.exit(main())
