"""What the app.py of a Space calls: the model beside it, served as the platform wants.

Gradio itself reads the address to listen on from ``GRADIO_SERVER_NAME`` and ``GRADIO_SERVER_PORT``,
which a Space sets.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from foodvision.apps.classify import launch_app
from foodvision.apps.gpu import Gpu, on_gpu
from foodvision.apps.serving import Address
from foodvision.apps.uploads import find_examples
from foodvision.apps.wording import Wording
from foodvision.classifier.classifier import Classifier
from foodvision.progress import log_to_stderr

MODEL, EXAMPLES = "model", "examples"
"""Folders beside app.py; the second is optional."""


def serve(app: str, title: str, gpu: Gpu | None = None) -> None:
    """Serve the classifier in the folder ``model`` until the process is stopped.

    Args:
        app: path of app.py.
        title: of the page.
        gpu: ``spaces.GPU`` on ZeroGPU. `spaces` must have been imported before this module.

    """
    folder = Path(app).resolve().parent
    with log_to_stderr():
        classifier = Classifier.load(folder / MODEL)
        launch_app(classifier, _examples(folder), Wording(title), _address(), gpu)


def serve_captions(app: str, model: str, gpu: Gpu | None = None) -> None:
    """Serve a captioner until the process is stopped; see `serve`.

    Args:
        app: path of app.py.
        model: a Hub id, for where there is no folder ``model``.
        gpu: ``spaces.GPU`` on ZeroGPU.

    """
    from foodvision.apps.caption import launch_caption_app
    from foodvision.captioning.captioner import Captioner

    folder = Path(app).resolve().parent
    with log_to_stderr():
        captioner = Captioner.load(folder / MODEL if (folder / MODEL).is_dir() else model)
        captioner.caption = on_gpu(captioner.caption, gpu)  # type: ignore[method-assign]
        launch_caption_app(captioner, _examples(folder), _address())


def _examples(folder: Path) -> Sequence[Path]:
    return find_examples(folder / EXAMPLES) if (folder / EXAMPLES).is_dir() else ()


def _address() -> Address:
    return Address(os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), browser=False)
