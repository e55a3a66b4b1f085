"""Processes that answer for an app, each with the classifier in its own memory.

One process has one interpreter lock and works on one GPU. Workers share the cores, or the GPUs, and
take batches from the one queue of the app's `Batcher`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import Queue
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType

from foodvision.classifier.classifier import Classifier
from foodvision.classifier.predict import Prediction

log = logging.getLogger(__name__)

_classifier: Classifier
"""Of a worker."""


class Workers:
    """A pool of processes, for `with`; one that was killed is replaced.

    Attributes:
        number: of processes.

    """

    def __init__(self, classifier: Classifier, number: int) -> None:
        """Load nothing yet: a process starts when it is first needed.

        Args:
            classifier: that was loaded from a folder; each worker loads it as well.
            number: of processes. On the CPU they share the cores, else the GPUs, in turn.

        """
        assert classifier.folder is not None
        self.number = number
        self._model = classifier.folder, classifier.device_type, classifier.backend
        self._lock = Lock()
        self._pool = self._start()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def answer_many(self, sources: Sequence[str | bytes], batch_size: int) -> list[Prediction]:
        """Classify images in one of the processes; may be called from several threads.

        Raises:
            BrokenProcessPool: if a process was killed, and after it the one that tried again.
            ModelError: as `Classifier.predict_many` does.

        """
        pool = self._pool
        try:
            return pool.submit(_answer_many, sources, batch_size).result()
        except BrokenProcessPool:
            with self._lock:
                if self._pool is pool:  # else another thread was first
                    log.warning("a worker of the app was killed; all of them start again")
                    self._pool = self._start()
            return self._pool.submit(_answer_many, sources, batch_size).result()

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork of threads may lock up
        places: Queue[int] = context.Queue()
        for place in range(self.number):
            places.put(place)
        return ProcessPoolExecutor(self.number, context, _load, (*self._model, places, self.number))


def _load(folder: Path, device: str, backend: str, places: Queue[int], number: int) -> None:
    """Prepare a worker."""
    global _classifier
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the app's process ends them
    Thread(target=_end_with_the_app, daemon=True).start()
    place = places.get()
    if device == "cuda":
        from foodvision.backends.device import use_gpu

        use_gpu(place)
    elif device == "cpu" and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[place::number] or [cores[place % len(cores)]])
    _classifier = Classifier.load(folder, device, backend)


def _end_with_the_app() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _answer_many(sources: Sequence[str | bytes], batch_size: int) -> list[Prediction]:
    return list(_classifier.predict_many(sources, batch_size))
