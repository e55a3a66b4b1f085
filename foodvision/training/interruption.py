"""Ctrl-C and SIGTERM, handled between two steps, where nothing is lost."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class StopRequest:
    """Within `with`, the first SIGINT or SIGTERM is recorded instead of ending the process.

    A second one ends it as usual. Outside the main thread, where Python handles no signals,
    nothing is recorded.

    Attributes:
        made: whether there was a signal.

    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.made = False

    def __enter__(self) -> StopRequest:
        self._listens = threading.current_thread() is threading.main_thread()
        if self._listens:
            self._before = [signal.signal(number, self._note) for number in self.SIGNALS]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.made = True
        self._restore()

    def _restore(self) -> None:
        if self._listens:
            self._listens = False
            for number, handler in zip(self.SIGNALS, self._before, strict=True):
                signal.signal(number, handler)
