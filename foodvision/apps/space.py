"""What the app.py of a Space calls: the model beside it, served as the platform wants.

Gradio itself reads the address to listen on from ``GRADIO_SERVER_NAME`` and ``GRADIO_SERVER_PORT``,
which a Space sets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

from foodvision.apps.classify import launch_app
from foodvision.classifier.classifier import Classifier
from foodvision.errors import FoodvisionError
from foodvision.progress import log_to_stderr

MODEL, EXAMPLES = "model", "examples"
"""Folders beside app.py; the second is optional."""

GPU_SECONDS = 10
"""At most for one image; ZeroGPU lends its GPU sooner for shorter tasks."""

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

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
    from foodvision.apps.caption import launch_caption_app
    from foodvision.apps.uploads import find_examples
    from foodvision.captioning.captioner import Captioner

    folder = Path(app).resolve().parent
    with log_to_stderr():
        captioner = Captioner.load(folder / MODEL if (folder / MODEL).is_dir() else model)
        if gpu:
            captioner.caption = on_gpu(captioner.caption, gpu)  # type: ignore
        examples = folder / EXAMPLES
        launch_caption_app(
            captioner,
            find_examples(examples) if examples.is_dir() else (),
            os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
            browser=False,
        )


def on_gpu(answer: Callable[Given, Answer], gpu: Gpu) -> Callable[Given, Answer]:
    """The same function, with its work done where the GPU is.

    Errors come back as values: of those that are raised there, ZeroGPU passes on the name alone.
    """

    def attempt(*args: Given.args, **kwargs: Given.kwargs) -> Answer | FoodvisionError:
        try:
            return answer(*args, **kwargs)
        except FoodvisionError as error:
            return error

    attempt_on_gpu = gpu(duration=GPU_SECONDS)(attempt)

    def answer_on_gpu(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        result: Answer | FoodvisionError = attempt_on_gpu(*args, **kwargs)
        if isinstance(result, FoodvisionError):
            raise result
        return result

    return answer_on_gpu
