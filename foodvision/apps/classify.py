"""The classifier's Gradio app: an uploaded image in, probabilities and seconds out."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foodvision import drawings
from foodvision.classifier.classifier import Classifier
from foodvision.data.dataset import list_names
from foodvision.errors import ImageError, MissingExtraError

if TYPE_CHECKING:
    import gradio as gr

MAX_UPLOAD = "50mb"


def build_app(classifier: Classifier) -> gr.Blocks:
    """Build the app of a classifier; its API has one endpoint, ``/predict``.

    Raises:
        MissingExtraError: if Gradio is not installed.

    """
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError("the app", "app") from error

    def predict(image: str | None) -> tuple[dict[str, float], float]:
        if image is None:
            raise gr.Error("Choose an image first.", print_exception=False)
        started = time.perf_counter()
        try:
            prediction = classifier.predict(image)
        except ImageError as error:
            sentence = f"This image cannot be opened: {error.reason}. Choose another one."
            raise gr.Error(sentence, print_exception=False) from error
        return prediction.probabilities, round(time.perf_counter() - started, 3)

    # The file itself: Gradio's own conversion drops alpha and the colour profile, and training and
    # app must open an image alike.
    upload = gr.Image(type="filepath", image_mode=None, label="Image")
    open_with_gradio = upload.preprocess

    def pass_file(payload: Any) -> str | None:
        """Gradio opens each file itself, and if that fails it shows an error without a reason."""
        return payload.path if payload and payload.path else open_with_gradio(payload)

    upload.preprocess = pass_file
    examples = _examples(classifier)
    return gr.Interface(
        predict,
        upload,
        [
            gr.Label(num_top_classes=min(5, len(classifier.classes)), label="It is"),
            gr.Number(label="Prediction time (s)"),
        ],
        title=_title(classifier.classes),
        description=_description(classifier),
        examples=[str(path) for path in examples] or None,
        example_labels=[f"a drawn {path.stem}" for path in examples] or None,
        cache_examples=False,
        flagging_mode="never",
        api_name="predict",
        concurrency_limit=os.cpu_count(),
    )


def launch_app(
    classifier: Classifier, host: str = "127.0.0.1", port: int | None = None, browser: bool = True
) -> None:
    """Serve the app until it is interrupted.

    Args:
        classifier: the model to serve.
        host: address to listen on; ``0.0.0.0`` accepts connections from the whole network.
        port: None for the first free port from 7860.
        browser: open a browser window.

    """
    app = build_app(classifier)
    app.queue(max_size=64)
    app.launch(server_name=host, server_port=port, inbrowser=browser, max_file_size=MAX_UPLOAD)


def _title(classes: tuple[str, ...]) -> str:
    if len(classes) <= 4:
        return f"{', '.join(classes[:-1])} or {classes[-1]}?".capitalize()
    return f"Which of {len(classes)}?"


def _description(classifier: Classifier) -> str:
    kind, classes = classifier.network.config.kind, list_names(classifier.classes)
    text = f"Answers come from {kind}. It knows only these classes: {classes}"
    if metrics := classifier.info.metrics:
        text += (
            f". On {metrics.n} validation images, {metrics.accuracy:.0%} of its answers were "
            f"right (log loss {metrics.log_loss:.2f})"
        )
    return text + "."


def _examples(classifier: Classifier) -> list[Path]:
    """Drawn images as examples, for a classifier that knows their classes."""
    if not set(drawings.CLASSES) <= set(classifier.classes):
        return []
    folder = Path(tempfile.mkdtemp(prefix="foodvision-examples-"))
    paths = [folder / f"{label}.png" for label in drawings.CLASSES]
    for path in paths:
        drawings.draw_image(path.stem, seed=0).save(path)
    return paths
