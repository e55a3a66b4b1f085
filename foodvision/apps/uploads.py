"""What the apps do with images: uploads in a private folder, opened from there and nowhere else.

Uploads are kept for some minutes, and at most until the app ends. Examples are copies without the
metadata (a place, a name) that photographs carry.
"""

from __future__ import annotations

import html
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foodvision.errors import DataError, ImageError
from foodvision.images.decode import open_image
from foodvision.images.files import files_below, is_image

if TYPE_CHECKING:
    import gradio as gr

log = logging.getLogger(__name__)

MAX_UPLOAD = "50mb"

MAX_AT_ONCE = 4
"""Answers at a time: each has an image in memory (see the limits of `open_image`)."""

MAX_WAITING = 64

KEEP_SECONDS = 900
"""How long an upload is kept: the page shows it, and it may be submitted again."""

MAX_EXAMPLES = 12

EXAMPLE_SIDE = 1024
"""Pixels of the longer side of an example, at most."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """Give the folder of an app for `with`: only this user can read it, and it is removed after.

    Within, Gradio keeps uploads there, and no history of answers in the visitors' browsers.
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


def serve(
    build: Callable[[Path], gr.Blocks],
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    share: bool = False,
) -> None:
    """Serve an app until it is interrupted, then remove all that was uploaded.

    Args:
        build: makes the app, given its private folder.
        host: address to listen on; ``0.0.0.0`` accepts connections from the whole network.
        port: None for the first free port from 7860.
        browser: open a browser window.
        share: also serve it at a public address of Gradio's.

    """
    with private_folder() as folder:
        app = build(folder)
        app.queue(max_size=MAX_WAITING)
        app.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            share=share,
            max_file_size=MAX_UPLOAD,
        )


def image_upload(folder: Path) -> gr.Image:
    """An input whose value is the path of an upload, in the app's folder.

    It is the file itself: Gradio's own conversion drops alpha and the colour profile, and training
    and app must open an image alike.
    """
    import gradio as gr

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
    return upload


@contextmanager
def friendly_errors() -> Iterator[None]:
    """Turn what goes wrong in `with` into a sentence for the visitor."""
    import gradio as gr

    try:
        yield
    except gr.Error:
        raise
    except ImageError as error:
        sentence = f"This image cannot be opened: {error.reason}. Choose another one."
        raise gr.Error(html.escape(sentence), print_exception=False) from error
    except Exception as error:  # or visitors would see the one word "Error"
        sentence = "The model failed on this image. The log of the app has the reason."
        raise gr.Error(sentence) from error


def find_examples(folder: Path) -> list[Path]:
    """The first `MAX_EXAMPLES` images below a folder.

    Raises:
        DataError: if there are none.

    """
    if not folder.is_dir():
        raise DataError(f"--examples {folder}: no such folder")
    images = sorted(filter(is_image, files_below(folder)))
    if not images:
        raise DataError(f"--examples {folder}: no images in this folder")
    if len(images) > MAX_EXAMPLES:
        log.warning("%s: the first %d of %d images are shown", folder, MAX_EXAMPLES, len(images))
    return images[:MAX_EXAMPLES]


def copy_examples(images: Iterable[Path], folder: Path) -> list[Path]:
    """Small copies of images in an app's folder; those that cannot be opened are left out."""
    copies = []
    for number, path in enumerate(images):
        try:
            image = open_image(path, min_side=EXAMPLE_SIDE).copy()
        except ImageError as error:
            log.warning("%s; it is no example", error)
            continue
        image.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE))
        copies.append(folder / f"example-{number}.jpg")
        image.save(copies[-1], quality=90)
    return copies
