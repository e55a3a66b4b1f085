"""Requests that wait at the same time are answered together: a batch costs less than its images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

Source = TypeVar("Source")
Answer = TypeVar("Answer")

MAX_BATCH = 8
"""Images at a time; all of them are in memory, resized."""


class Batcher(Generic[Source, Answer]):
    """Turns a function of many into one of a single request, to be called from many threads.

    While each thread computes a batch, requests wait; all that wait are the next one. There is no
    waiting for a batch to become full, so that a request that comes alone is answered at once.

    Args:
        answer_many: gives one answer for each source, in their order.
        threads: batches at a time.

    """

    def __init__(
        self, answer_many: Callable[[Sequence[Source]], Sequence[Answer]], threads: int = 1
    ) -> None:
        self._answer_many = answer_many
        self._waiting: deque[tuple[Source, Future[Answer]]] = deque()
        self._taking = Lock()
        self._threads = ThreadPoolExecutor(threads)

    def __call__(self, source: Source) -> Answer:
        """Wait for the answer; what `answer_many` raises is raised for all of its batch."""
        own: Future[Answer] = Future()
        self._waiting.append((source, own))
        self._threads.submit(self._compute)
        return own.result()

    def _compute(self) -> None:
        with self._taking:
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        if not batch:  # an earlier one had them all
            return
        try:
            answers = self._answer_many([source for source, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)
        except BaseException as error:  # it belongs to each of these requests, and none may wait on
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
