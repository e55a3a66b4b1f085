"""Slow work done ahead of its consumer: in threads, in order, and within a limit.

A function and its arguments come in, its results go out in order. Decoding, hashing and reading
all run through it, so one place decides about threads and memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Generator[Result]:
    """Yield ``function(item)`` for each item, in the order of the items.

    One thread per core computes at most `ahead` results before they are asked for, so a million
    items take no more memory than a hundred. An exception is raised where its result would be;
    closing the iterator drops what has not been started.

    Args:
        function: releases the GIL for most of its time, as decoding, reading and hashing do.
        items: read lazily, by the consumer's thread alone.
        ahead: results in memory at a time, 1 or more.

    """
    remaining = iter(items)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        window: deque[Future[Result]] = deque()
        while True:
            window.extend(
                pool.submit(function, item) for item in islice(remaining, ahead - len(window))
            )
            if not window:
                return
            yield window.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
