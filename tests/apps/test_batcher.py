"""Requests that come together are answered together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest

from foodvision.apps.batcher import MAX_BATCH, Batcher


class Recorded:
    """A function of many that records its batches; the first waits until it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started, self.go_on = threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        if len(self.batches) == 1:
            self.started.set()
            assert self.go_on.wait(30)
        if -1 in numbers:
            raise ValueError("a number is negative")
        return [number**2 for number in numbers]


def test_what_waits_is_the_next_batch() -> None:
    recorded = Recorded()
    batcher = Batcher(recorded)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(batcher, 100)
        assert recorded.started.wait(30)
        others = [pool.submit(batcher, number) for number in range(MAX_BATCH + 3)]
        wait_until(lambda: len(batcher._waiting) == len(others))
        recorded.go_on.set()
        assert first.result(30) == 10_000
        assert [other.result(30) for other in others] == [n**2 for n in range(MAX_BATCH + 3)]
    assert [len(batch) for batch in recorded.batches] == [1, MAX_BATCH, 3]
    assert sorted(chain.from_iterable(recorded.batches)) == [*range(MAX_BATCH + 3), 100]


def test_a_failure_is_that_of_its_batch_alone() -> None:
    recorded = Recorded()
    recorded.go_on.set()
    batcher = Batcher(recorded)
    with pytest.raises(ValueError, match="negative"):
        batcher(-1)
    assert batcher(3) == 9


def test_each_of_a_failing_batch_has_the_error() -> None:
    recorded = Recorded()
    batcher = Batcher(recorded)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher, 1)
        assert recorded.started.wait(30)
        others = [pool.submit(batcher, number) for number in (2, -1, 3)]
        wait_until(lambda: len(batcher._waiting) == 3)
        recorded.go_on.set()
        assert first.result(30) == 1
        for other in others:
            with pytest.raises(ValueError, match="negative"):
                other.result(30)


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def test_a_missing_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Batcher(lambda sources: [])(1)
