"""What the app.py of a Space calls: the model beside it, served as the platform wants.

Gradio itself reads the address to listen on from ``GRADIO_SERVER_NAME`` and ``GRADIO_SERVER_PORT``,
which a Space sets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from foodvision.apps.classify import launch_app
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.predict import Prediction
from foodvision.errors import FoodvisionError
from foodvision.images.decode import ImageSource
from foodvision.progress import log_to_stderr

MODEL, EXAMPLES = "model", "examples"
"""Folders beside app.py; the second is optional."""

GPU_SECONDS = 10
"""At most for one image; ZeroGPU lends its GPU sooner for shorter tasks."""

Gpu: TypeAlias = Callable[..., Callable[[Any], Any]]
"""``spaces.GPU``: it makes a decorator, whose functions run in a process that has the GPU."""


def serve(app: str, gpu: Gpu | None = None) -> None:
    """Serve the classifier in the folder ``model`` until the process is stopped.

    Args:
        app: path of app.py.
        gpu: ``spaces.GPU`` on ZeroGPU. `spaces` must have been imported before this module.

    """
    folder = Path(app).resolve().parent
    with log_to_stderr():
        classifier = Classifier.load(folder / MODEL)
        if gpu:
            classifier.predict = on_gpu(classifier.predict, gpu)  # type: ignore
        examples = folder / EXAMPLES
        launch_app(
            classifier,
            os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
            browser=False,
            examples=examples if examples.is_dir() else None,
        )


def serve_captions(app: str, model: str, gpu: Gpu | None = None) -> None:
    """Serve a captioner until the process is stopped; see `serve`.

    Args:
        app: path of app.py.
        model: a Hub id, for where there is no folder ``model``.
        gpu: ``spaces.GPU`` on ZeroGPU.

    """
    from foodvision.apps import caption  # type: ignore[attr-defined]

    folder = Path(app).resolve().parent / MODEL
    with log_to_stderr():
        caption.serve(str(folder) if folder.is_dir() else model, gpu)


def on_gpu(
    predict: Callable[[ImageSource], Prediction], gpu: Gpu
) -> Callable[[ImageSource], Prediction]:
    """The same function, with its work done where the GPU is.

    Errors come back as values: of those that are raised there, ZeroGPU passes on the name alone.
    """

    def attempt(source: ImageSource) -> Prediction | FoodvisionError:
        try:
            return predict(source)
        except FoodvisionError as error:
            return error

    attempt_on_gpu = gpu(duration=GPU_SECONDS)(attempt)

    def predict_on_gpu(source: ImageSource) -> Prediction:
        result: Prediction | FoodvisionError = attempt_on_gpu(source)
        if isinstance(result, FoodvisionError):
            raise result
        return result

    return predict_on_gpu
