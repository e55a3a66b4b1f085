"""Prefetching: in order, bounded, lazy, with each error raised in its result's place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from foodvision.prefetch import prefetch


def test_results_keep_their_order_whatever_finishes_first() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(10)
        elif item == 1:
            second_done.set()
        return item * item

    assert list(prefetch(work, range(50), ahead=4)) == [item * item for item in range(50)]


def test_at_most_ahead_items_are_taken_in_advance() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    with closing(prefetch(lambda item: item, items(), ahead=5)) as results:
        for expected in range(3):
            assert next(results) == expected
            assert len(taken) <= expected + 5


def test_an_error_is_raised_in_its_place() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    results = prefetch(work, range(5), ahead=8)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
