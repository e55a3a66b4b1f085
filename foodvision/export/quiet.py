"""The converters talk of their internals: on stdout, in warnings, through the root logger."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator

_LOGGERS = ("torch.onnx", "torch.utils.cpp_extension", "onnxscript", "onnx_ir", "nncf")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Show their errors and their bars alone, both on stderr."""
    root, silent = logging.getLogger(), logging.NullHandler()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    root.addHandler(silent)  # without any, logging.warning() gives the root logger one for good
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(silent)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
