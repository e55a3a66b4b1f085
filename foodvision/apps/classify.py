"""The classifier's Gradio app: an uploaded image in, probabilities and seconds out.

Class names are shown as text, never as markup.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foodvision import drawings
from foodvision.apps import uploads
from foodvision.classifier.classifier import Classifier
from foodvision.errors import MissingExtraError
from foodvision.images.decode import SUFFIXES
from foodvision.text import list_names, printable

if TYPE_CHECKING:
    import gradio as gr

NOT_SURE = "The model is **not sure**: this may be something else than the classes it knows."


def build_app(classifier: Classifier, folder: Path, examples: Path | None = None) -> gr.Blocks:
    """Build the app of a classifier; its API has one endpoint, ``/predict``.

    Args:
        classifier: the model to serve.
        folder: of `uploads.private_folder`; must exist as long as the app.
        examples: a folder of images to try; None for drawings, if the classifier knows them.

    Raises:
        MissingExtraError: if Gradio is not installed.

    """
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError("the app", "app") from error

    def predict(image: str | None) -> tuple[Any, ...]:
        if image is None:
            raise gr.Error("Choose an image first.", print_exception=False)
        started = time.perf_counter()
        with uploads.friendly_errors():
            prediction = classifier.predict(image)
        shown = {printable(name): value for name, value in prediction.probabilities.items()}
        seconds = round(time.perf_counter() - started, 3)
        if not classifier.limits:
            return shown, seconds
        return shown, seconds, "" if prediction.sure else NOT_SURE

    samples = _copies(examples, folder) if examples else _drawings(classifier, folder)
    app = gr.Interface(
        predict,
        uploads.image_upload(folder),
        [
            gr.Label(num_top_classes=min(5, len(classifier.classes)), label="It is"),
            gr.Number(label="Prediction time (s)"),
            *([gr.Markdown()] if classifier.limits else []),
        ],
        title=_title([_as_text(name) for name in classifier.classes]),
        description=_description(classifier),
        examples=list(map(str, samples)) or None,
        example_labels=list(samples.values()) or None,
        cache_examples=False,
        flagging_mode="never",
        api_name="predict",
        concurrency_limit=min(uploads.MAX_AT_ONCE, os.cpu_count() or 1),
        delete_cache=(60, uploads.KEEP_SECONDS),
        analytics_enabled=False,
    )
    app.title = printable(_title(classifier.classes))  # of the browser's tab, which is plain text
    return app


def launch_app(
    classifier: Classifier,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    examples: Path | None = None,
) -> None:
    """Serve the app until it is interrupted; see `uploads.serve` and `build_app`."""
    uploads.serve(lambda folder: build_app(classifier, folder, examples), host, port, browser)


def _as_text(name: str) -> str:
    """The name as HTML or Markdown that shows just that, its punctuation as `&#N;`."""
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in printable(name))


def _title(classes: Sequence[str]) -> str:
    if len(classes) <= 4:
        return f"{', '.join(classes[:-1])} or {classes[-1]}?".capitalize()
    return f"Which of {len(classes)}?"


def _description(classifier: Classifier) -> str:
    classes = list_names([_as_text(name) for name in classifier.classes])
    text = f"Answers come from {classifier.config.kind}. It knows only these classes: "
    text += classes
    if metrics := classifier.info.metrics:
        text += (
            f". On {metrics.n} validation images, {metrics.accuracy:.0%} of its answers were "
            f"right (log loss {metrics.log_loss:.2f})"
        )
    return text + "."


def _drawings(classifier: Classifier, folder: Path) -> dict[Path, str]:
    """Drawn images as examples with their labels, for a classifier that knows their classes."""
    if not set(drawings.CLASSES) <= set(classifier.classes):
        return {}
    paths = [folder / f"{label}.png" for label in drawings.CLASSES]
    for path in paths:
        drawings.draw_image(path.stem, seed=0).save(path)
    return {path: f"a drawn {path.stem}" for path in paths}


def _copies(examples: Path, folder: Path) -> dict[Path, str]:
    """The images of a folder, copied to where the app reads, with their labels."""
    paths = (path for path in sorted(examples.iterdir()) if path.suffix.lower() in SUFFIXES)
    return {Path(shutil.copy(path, folder)): printable(path.stem) for path in paths}
