"""The classifier's Gradio app: an uploaded image in, probabilities and seconds out.

Class names are shown as text, never as markup. Uploads are kept in a private folder for some
minutes, and at most until the app ends.
"""

from __future__ import annotations

import html
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foodvision import drawings
from foodvision.classifier.classifier import Classifier
from foodvision.errors import ImageError, MissingExtraError
from foodvision.images.decode import SUFFIXES
from foodvision.text import list_names, printable

if TYPE_CHECKING:
    import gradio as gr

MAX_UPLOAD = "50mb"

MAX_AT_ONCE = 4
"""Predictions at a time: each has an image in memory (see the limits of `open_image`)."""

MAX_WAITING = 64

KEEP_SECONDS = 900
"""How long an upload is kept: the page shows it, and it may be submitted again."""


NOT_SURE = "The model is **not sure**: this may be something else than the classes it knows."


def build_app(classifier: Classifier, folder: Path, examples: Path | None = None) -> gr.Blocks:
    """Build the app of a classifier; its API has one endpoint, ``/predict``.

    Args:
        classifier: the model to serve.
        folder: of `private_folder`; must exist as long as the app.
        examples: a folder of images to try; None for drawings, if the classifier knows them.

    Raises:
        MissingExtraError: if Gradio is not installed.

    """
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError("the app", "app") from error

    def predict(
        image: str | None,
    ) -> tuple[Any, ...]:
        if image is None:
            raise gr.Error("Choose an image first.", print_exception=False)
        started = time.perf_counter()
        try:
            prediction = classifier.predict(image)
        except ImageError as error:
            sentence = f"This image cannot be opened: {error.reason}. Choose another one."
            raise gr.Error(html.escape(sentence), print_exception=False) from error
        except Exception as error:  # or visitors would see the one word "Error"
            sentence = "The model failed on this image. The log of the app has the reason."
            raise gr.Error(sentence) from error
        shown = {printable(name): value for name, value in prediction.probabilities.items()}
        seconds = round(time.perf_counter() - started, 3)
        if not classifier.limits:
            return shown, seconds
        return shown, seconds, "" if prediction.sure else NOT_SURE

    # The file itself: Gradio's own conversion drops alpha and the colour profile, and training and
    # app must open an image alike.
    upload = gr.Image(type="filepath", image_mode=None, label="Image")
    copy_to_cache = upload.async_move_resource_to_block_cache

    def find_upload(path: str) -> str:
        """Gradio lets a request name any file or URL, and shows no reason when one is missing."""
        try:
            found = Path(path).resolve(strict=True).is_relative_to(folder.resolve())
        except (OSError, ValueError):
            found = False
        if not found:
            sentence = "This image is not here any more. Choose it again."
            raise gr.Error(sentence, print_exception=False)
        return path

    async def copy_upload(path: str) -> str | None:
        return await copy_to_cache(find_upload(path))

    def pass_file(payload: Any) -> str | None:
        return find_upload(payload.path) if payload and payload.path else None

    # Gradio opens each file itself, and if that fails it shows an error without a reason.
    upload.preprocess, upload.async_move_resource_to_block_cache = pass_file, copy_upload
    samples = _copies(examples, folder) if examples else _drawings(classifier, folder)
    app = gr.Interface(
        predict,
        upload,
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
        concurrency_limit=min(MAX_AT_ONCE, os.cpu_count() or 1),
        delete_cache=(60, KEEP_SECONDS),
        analytics_enabled=False,
    )
    app.title = printable(_title(classifier.classes))  # of the browser's tab, which is plain text
    return app


@contextmanager
def private_folder() -> Iterator[Path]:
    """Give the folder of an app for `with`: only this user can read it, and it is removed after.

    Within, Gradio keeps uploads there, and no history of predictions in the visitors' browsers.
    """
    with tempfile.TemporaryDirectory(prefix="foodvision-app-", ignore_cleanup_errors=True) as name:
        settings = {"GRADIO_TEMP_DIR": name, "GRADIO_RUN_HISTORY": "False"}
        before = {key: os.environ.get(key) for key in settings}
        os.environ |= settings
        try:
            yield Path(name)
        finally:
            for key, value in before.items():
                os.environ.pop(key)
                if value is not None:
                    os.environ[key] = value


def launch_app(
    classifier: Classifier,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    examples: Path | None = None,
) -> None:
    """Serve the app until it is interrupted, then remove all that was uploaded.

    Args:
        classifier: the model to serve.
        host: address to listen on; ``0.0.0.0`` accepts connections from the whole network.
        port: None for the first free port from 7860.
        browser: open a browser window.
        examples: see `build_app`.

    """
    with private_folder() as folder:
        app = build_app(classifier, folder, examples)
        app.queue(max_size=MAX_WAITING)
        app.launch(server_name=host, server_port=port, inbrowser=browser, max_file_size=MAX_UPLOAD)


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
