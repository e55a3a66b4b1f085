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
from pathlib import Path
from queue import Queue
from threading import Thread

from foodvision.classifier.classifier import Classifier
from foodvision.classifier.predict import Prediction

log = logging.getLogger(__name__)

_classifier: Classifier
"""Of a worker."""


class Workers:
    """Processes that take turns; one that is killed is replaced. To be closed.

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
        # Each is a pool of its own: one that breaks does not take the others with it.
        self._pools = [self._start(place) for place in range(number)]
        self._free = Queue[int]()
        for place in range(number):
            self._free.put(place)

    def answer_many(self, sources: Sequence[str | bytes], batch_size: int) -> list[Prediction]:
        """Classify images in the next free process; may be called from several threads.

        Raises:
            BrokenProcessPool: if the process was killed, and the one that tried again as well.
            ModelError: as `Classifier.predict_many` does.

        """
        place = self._free.get()
        try:
            try:
                return self._pools[place].submit(_answer_many, sources, batch_size).result()
            except BrokenProcessPool:
                log.warning("a worker of the app was killed; another one takes its place")
                self._pools[place] = self._start(place)
                return self._pools[place].submit(_answer_many, sources, batch_size).result()
        finally:
            self._free.put(place)

    def close(self) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def _start(self, place: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork of threads may lock up
        return ProcessPoolExecutor(1, context, _load, (*self._model, place, self.number))


def _load(folder: Path, device: str, backend: str, place: int, number: int) -> None:
    """Prepare the worker of a place, counted from 0."""
    global _classifier
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the app's process ends them
    Thread(target=_end_with_the_app, daemon=True).start()
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
