"""Each parser, on changed copies of valid inputs: it accepts or refuses, and nothing else.

`python -m tests.fuzz` tries a hundred thousand inputs, which coverage guides.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foodvision.errors import FoodvisionError
from tests.fuzz.corpus import seeds
from tests.fuzz.mutations import CHANGES
from tests.fuzz.parsers import PARSERS, Parser

SEEDS = seeds()
EXAMPLES = {"Parquet": 2, "config.json": 15, "recipe": 25}


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Valid inputs with some bytes replaced, with values replaced, or cut off."""
    whole = st.sampled_from(SEEDS[name])
    edits = st.lists(st.tuples(st.integers(0, 9_999), st.binary(max_size=4)), max_size=3)
    ways = [whole.flatmap(lambda content: st.builds(_edited, st.just(content), edits))]
    if change := CHANGES.get(name):
        ways += 2 * [st.builds(change, whole, st.integers(0, 2**32))]
    return st.one_of(*ways, st.builds(_cut, whole, st.floats(0, 1)))


def _edited(content: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    for place, new in edits:
        start = place % (len(content) + 1)
        content = content[:start] + new + content[start + len(new) :]
    return content


def _cut(content: bytes, share: float) -> bytes:
    return content[: int(share * len(content))]


@pytest.mark.parametrize("name", PARSERS)
def test_foreign_bytes_are_accepted_or_refused(name: str, tmp_path: Path) -> None:
    parse: Parser = PARSERS[name](tmp_path)

    @settings(
        max_examples=EXAMPLES.get(name, 12),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(name))
    def accepts_or_refuses(content: bytes) -> None:
        with suppress(FoodvisionError):
            parse(content)

    accepts_or_refuses()
