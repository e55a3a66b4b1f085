"""The captioner's Gradio app: an uploaded image in, sentences and seconds out."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foodvision.apps import uploads
from foodvision.apps.serving import Address, serve
from foodvision.captioning.caption import MAX_PREFIX, CaptionSettings
from foodvision.captioning.captioner import Captioner
from foodvision.errors import FoodvisionError, ImageError, MissingExtraError
from foodvision.text import to_markdown

if TYPE_CHECKING:
    import gradio as gr

TITLE = "What is in this image?"

MAX_BEAMS, MAX_CAPTIONS, MAX_LENGTH = 8, 5, 60
"""What a visitor may ask for; the command line allows more."""


def build_caption_app(
    captioner: Captioner, folder: Path, examples: Sequence[Path] = ()
) -> gr.Blocks:
    """Build the app of a captioner; its API has one endpoint, ``/caption``.

    Args:
        captioner: the model to serve.
        folder: of `uploads.private_folder`; must exist as long as the app.
        examples: images that visitors can try.

    Raises:
        MissingExtraError: if Gradio is not installed.

    """
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError("the app", "app") from error

    def caption(
        image: str | bytes | None,
        prefix: str = "",
        beams: int = 3,
        max_length: int = 20,
        captions: int = 1,
        repetition_penalty: float = 1.0,
    ) -> tuple[str, float]:
        started = time.perf_counter()
        with uploads.friendly_errors():
            source = uploads.chosen(image)
            try:
                settings = CaptionSettings(prefix, beams, max_length, captions, repetition_penalty)
                written = captioner.caption(source, settings).captions
            except ImageError:
                raise
            except (ValueError, FoodvisionError) as error:
                sentence = html.escape(f"These settings do not work: {error}.")
                raise gr.Error(sentence, print_exception=False) from error
        return "\n".join(written), round(time.perf_counter() - started, 3)

    with gr.Blocks(title=TITLE, analytics_enabled=False) as app:
        gr.Markdown(f"# {TITLE}")
        gr.Markdown(
            f"A sentence about any image, written by BLIP ({to_markdown(captioner.name)}). It can "
            "be wrong, and it repeats the prejudices of the captions that it was trained on. Your "
            "image is deleted after some minutes."
        )
        with gr.Row():
            with gr.Column():
                upload = uploads.image_upload(folder)
                prefix = gr.Textbox(
                    "",
                    label="Begins with (optional)",
                    placeholder="a photo of",
                    max_length=MAX_PREFIX,
                )
                with gr.Accordion("More", open=False):
                    beams = gr.Slider(1, MAX_BEAMS, 3, step=1, label="Beams (1 is fastest)")
                    length = gr.Slider(1, MAX_LENGTH, 20, step=1, label="Longest caption (tokens)")
                    captions = gr.Slider(1, MAX_CAPTIONS, 1, step=1, label="Captions")
                    penalty = gr.Slider(1, 2, 1, step=0.1, label="Repetition penalty")
                button = gr.Button("Describe", variant="primary")
            with gr.Column():
                shown = gr.Textbox(label="Caption", lines=2)
                seconds = gr.Number(label="Seconds")
        button.click(
            caption,
            [upload, prefix, beams, length, captions, penalty],
            [shown, seconds],
            api_name="caption",
            api_description="Describe an image in one or more sentences, one per line.",
            concurrency_limit=min(uploads.MAX_AT_ONCE, os.cpu_count() or 1),
        )
        if copies := uploads.copy_examples(examples, folder):
            gr.Examples(
                [str(path) for path in copies],
                upload,
                examples_per_page=uploads.MAX_EXAMPLES,
                cache_examples=False,
                api_visibility="private",
            )
    return app


def launch_caption_app(
    captioner: Captioner,
    examples: Sequence[Path] = (),
    address: Address = Address(),  # noqa: B008 (it is immutable)
) -> None:
    """Serve the app until it is interrupted; see `serving.serve`."""
    serve(lambda folder: build_caption_app(captioner, folder, examples), address)
