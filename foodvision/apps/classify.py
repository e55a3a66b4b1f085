"""The classifier's Gradio app: an image from a file, the clipboard or a camera; its class.

Class names are shown as text, never as markup.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foodvision import drawings
from foodvision.apps import uploads
from foodvision.apps.answers import Answers
from foodvision.apps.batcher import MAX_BATCH
from foodvision.apps.gpu import Gpu
from foodvision.apps.serving import Address, serve
from foodvision.apps.wording import Wording, describe, make_title
from foodvision.apps.workers import Workers
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.output import cells, columns
from foodvision.classifier.predict import Prediction
from foodvision.errors import MissingExtraError
from foodvision.rows.text_table import CsvTable
from foodvision.text import list_names, printable, to_markdown

if TYPE_CHECKING:
    import gradio as gr
    from PIL.Image import Image

MAX_CLASSES = 5
"""Shown of one image, most probable first."""

MAX_FILES = 100

FRAMES = 10
"""The frame rate is the mean over so many frames, at most."""

SECONDS_A_FRAME = 0.1
"""A camera's frames are sent as often, or as fast as they are answered."""

PAUSE_SECONDS = 10
"""Frames further apart than this are of two recordings; a slow computer takes seconds for one."""

CAMERA_SECONDS = 120
"""Then the camera stops, so that no forgotten page keeps others waiting."""

NOT_SURE = "The model is **not sure**: this may be something other than the classes it knows."


def build_app(
    classifier: Classifier,
    folder: Path,
    examples: Sequence[Path] = (),
    wording: Wording = Wording(),  # noqa: B008 (it is immutable)
    gpu: Gpu | None = None,
    workers: Workers | None = None,
) -> gr.Blocks:
    """Build the app of a classifier, with an API, which is an MCP server as well.

    Its functions are ``/predict`` (one image: the label with its probabilities, seconds and, once
    the classifier is calibrated, a sentence if it is not sure), for a network ``/explain`` (the
    image with what the network looked at), and, not over MCP, ``/predict_many`` (a table, and the
    same as a CSV file).

    Args:
        classifier: the model to serve.
        folder: of `uploads.private_folder`; must exist as long as the app.
        examples: images to try; without any, drawings, if the classifier was trained on them.
        wording: title and texts.
        gpu: see `space.serve`.
        workers: see `Answers`.

    Raises:
        MissingExtraError: if Gradio is not installed.

    """
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError("the app", "app") from error

    answers = Answers(classifier, gpu, workers)
    title = wording.title or make_title(classifier.classes)
    with gr.Blocks(title=printable(title), analytics_enabled=False) as app:
        gr.Markdown(f"# {to_markdown(title)}")
        if wording.description:
            gr.Markdown(wording.description)
        gr.Markdown(describe(classifier))
        with gr.Tab("One image"):
            if examples:
                samples = uploads.copy_examples(examples, folder)
            else:
                samples = _drawings(classifier, folder)
            _add_one_image(answers, folder, samples)
        if gpu is None:  # whose visitors have some minutes of it a day
            with gr.Tab("Camera"):
                _add_camera(answers, folder)
        with gr.Tab("Several images"):
            _add_several_images(answers, folder)
        if wording.article:
            gr.Markdown(wording.article)
    return app


def launch_app(
    classifier: Classifier,
    examples: Sequence[Path] = (),
    wording: Wording = Wording(),  # noqa: B008
    address: Address = Address(),  # noqa: B008
    gpu: Gpu | None = None,
    processes: int = 1,
) -> None:
    """Serve the app until it is interrupted; see `serving.serve` and `build_app`.

    With more than one of the `processes`, that many answer beside this one; see `Workers`.
    """
    with closing(Workers(classifier, processes)) if processes > 1 else nullcontext() as workers:
        serve(
            lambda folder: build_app(classifier, folder, examples, wording, gpu, workers), address
        )


def _add_one_image(answers: Answers, folder: Path, samples: Sequence[Path]) -> None:
    import gradio as gr

    calibrated = answers.classifier.limits is not None

    def predict(image: str | bytes | None) -> tuple[Any, ...]:
        started = time.perf_counter()
        with uploads.friendly_errors():
            prediction = answers.predict(uploads.chosen(image))
        answer = _shown(prediction), round(time.perf_counter() - started, 3)
        return (*answer, _doubt(prediction)) if calibrated else answer

    def explain(image: str | bytes | None) -> tuple[Image, str]:
        with uploads.friendly_errors():
            overlay, method, label = answers.explain(uploads.chosen(image))
        where = f"Bright: what counted most for “{to_markdown(label)}” ({method})."
        return overlay, f"{where} A hint, not a proof."

    with gr.Row():
        with gr.Column():
            upload = uploads.image_upload(folder)
            with gr.Row():
                button = gr.Button("Classify", variant="primary")
                if answers.explains:
                    look = gr.Button("What did it look at?")
            if samples:
                gr.Examples(
                    list(map(str, samples)),
                    upload,
                    examples_per_page=uploads.MAX_EXAMPLES,
                    cache_examples=False,
                    api_visibility="private",
                )
        with gr.Column():
            label = _label(answers)
            doubt = [gr.Markdown()] if calibrated else []
            seconds = gr.Number(label="Prediction time (s)")
            if answers.explains:
                overlay = gr.Image(
                    label="What the network looked at",
                    format="jpeg",
                    buttons=["fullscreen", "download"],
                )
                method = gr.Markdown()
    button.click(
        predict,
        upload,
        [label, seconds, *doubt],
        api_name="predict",
        api_description=f"Classify an image as one of: {list_names(answers.classifier.classes)}.",
        concurrency_limit=answers.at_once,
    )
    if answers.explains:
        look.click(
            explain,
            upload,
            [overlay, method],
            api_name="explain",
            api_description="Show which places of an image its classification depends on.",
        )


def _add_camera(answers: Answers, folder: Path) -> None:
    import gradio as gr

    def see(image: str | bytes | None, times: deque[float] | None) -> tuple[Any, ...]:
        with uploads.friendly_errors():
            prediction = answers.predict(uploads.chosen(image))
        now = time.monotonic()
        if not times or now > times[-1] + PAUSE_SECONDS:
            times = deque(maxlen=FRAMES + 1)  # the camera was off
        times.append(now)
        rate = (len(times) - 1) / (now - times[0]) if len(times) > 1 else None
        return _shown(prediction), rate and round(rate, 1), _doubt(prediction), times

    with gr.Row():
        with gr.Column():
            camera = uploads.image_upload(folder, camera=True)
        with gr.Column():
            label = _label(answers)
            doubt = gr.Markdown()
            rate = gr.Number(label="Frames per second")
    times = gr.State()
    camera.stream(
        see,
        [camera, times],
        [label, rate, doubt, times],
        stream_every=SECONDS_A_FRAME,
        time_limit=CAMERA_SECONDS,
        concurrency_limit=MAX_BATCH,
        show_progress="hidden",
        api_visibility="private",
    )


def _add_several_images(answers: Answers, folder: Path) -> None:
    import gradio as gr

    classes = answers.classifier.classes

    def predict_many(images: list[str] | None) -> tuple[list[list[Any]], str]:
        if not images:
            raise gr.Error("Choose some images first.", print_exception=False)
        if len(images) > MAX_FILES:
            sentence = f"{len(images)} images are too many; choose at most {MAX_FILES}."
            raise gr.Error(sentence, print_exception=False)
        with uploads.friendly_errors():
            rows = answers.predict_many(images)
            file = folder / secrets.token_hex() / "predictions.csv"
            CsvTable(file).write((cells(row, classes) for row in rows), columns(classes))
        return [_row(row) for row in rows], str(file)

    files = uploads.files_upload(folder)
    button = gr.Button("Classify all", variant="primary")
    table = gr.Dataframe(
        headers=["image", "label", "probability", "sure", "error"],
        datatype=["str", "str", "number", "str", "str"],
        label="Answers",
        interactive=False,
        wrap=True,
    )
    download = gr.DownloadButton("Download as CSV")
    button.click(
        predict_many,
        files,
        [table, download],
        api_name="predict_many",
        # Public ones are MCP tools as well, and there Gradio cannot express a list of files.
        api_visibility="undocumented",
    )


def _label(answers: Answers) -> gr.Label:
    import gradio as gr

    return gr.Label(
        num_top_classes=min(MAX_CLASSES, len(answers.classifier.classes)), label="It is"
    )


def _shown(prediction: Prediction) -> dict[str, float]:
    return {printable(name): share for name, share in prediction.probabilities.items()}


def _doubt(prediction: Prediction) -> str:
    return NOT_SURE if prediction.sure is False else ""


def _row(prediction: Prediction) -> list[Any]:
    if prediction.label is None:
        return [printable(prediction.path), "", None, "", prediction.error]
    sure = {True: "yes", False: "no", None: ""}[prediction.sure]
    share = round(prediction.probability or 0.0, 4)
    return [printable(prediction.path), printable(prediction.label), share, sure, ""]


def _drawings(classifier: Classifier, folder: Path) -> list[Path]:
    """Drawn images as examples, for a classifier that learned from such."""
    data = classifier.info.data
    if data is None or data.name != drawings.NAME:
        return []
    paths = [folder / f"{label}.png" for label in drawings.CLASSES]
    for path in paths:
        drawings.draw_image(path.stem, seed=0).save(path)
    return paths
