"""What the apps do with images: uploads in a private folder, opened from there and nowhere else.

Uploads are kept for some minutes, and at most until the app ends. Examples are copies without the
metadata (a place, a name) that photographs carry.
"""

from __future__ import annotations

import base64
import html
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from foodvision.errors import DataError, ImageError
from foodvision.images.decode import open_image
from foodvision.images.files import files_below, is_image

if TYPE_CHECKING:
    import gradio as gr

log = logging.getLogger(__name__)

MAX_UPLOAD_MB = 50

FILE_ADDRESS = "/gradio_api/file="
"""Where an app shows its files; their path follows."""

MAX_AT_ONCE = 4
"""Answers at a time: each has an image in memory (see the limits of `open_image`)."""

KEEP_SECONDS = 900
"""How long an upload is kept: the page shows it, and it may be submitted again."""

SWEEP_SECONDS = 60.0

MAX_EXAMPLES = 12

EXAMPLE_SIDE = 1024
"""Pixels of the longer side of an example, at most."""


_STATISTICS = {
    "GRADIO_ANALYTICS_MAX_EVENTS": "1000",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000",
}
"""By default Gradio summarises the last 10,000 requests after every single one, for its monitor."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """Give the folder of an app for `with`: only this user can read it, and it is removed after.

    Within, Gradio keeps uploads there, and no history of answers in the visitors' browsers; an app
    must be built within.
    """
    with tempfile.TemporaryDirectory(prefix="foodvision-app-", ignore_cleanup_errors=True) as name:
        settings = {"GRADIO_TEMP_DIR": name, "GRADIO_RUN_HISTORY": "False", **_STATISTICS}
        before = {key: os.environ.get(key) for key in settings}
        os.environ |= settings
        try:
            yield Path(name)
        finally:
            for key, value in before.items():
                os.environ.pop(key)
                if value is not None:
                    os.environ[key] = value


@contextmanager
def swept(folder: Path) -> Iterator[None]:
    """Within `with`, delete the files of a folder after `KEEP_SECONDS`, but for those of before.

    Gradio's own deletion (``delete_cache``) ends for good if an upload comes while it looks, and
    does not know the images that come within a request.
    """
    kept, ended = set(folder.rglob("*")), Event()

    def sweep() -> None:
        seen: dict[tuple[Path, int], float] = {}  # since when: the system's clock can jump
        while not ended.wait(SWEEP_SECONDS):
            now, found = time.monotonic(), dict[tuple[Path, int], float]()
            for path in set(folder.rglob("*")) - kept:
                with suppress(OSError):
                    if path.is_file():
                        version = path, path.stat().st_mtime_ns
                        found[version] = seen.get(version, now)
                        if now - found[version] > KEEP_SECONDS:
                            path.unlink()
            seen = found

    thread = Thread(target=sweep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def image_upload(folder: Path, camera: bool = False) -> gr.Image:
    """An input whose value is the path of an upload, in the app's folder.

    It is the file itself: Gradio's own conversion drops alpha and the colour profile, and training
    and app must open an image alike. What comes without a file, such as a camera's frames, is
    `bytes`.

    Args:
        folder: of the app.
        camera: stream its frames.

    """
    import gradio as gr

    sources = ["webcam"] if camera else ["upload", "clipboard", "webcam"]
    upload = gr.Image(
        type="filepath", image_mode=None, label="Image", sources=sources, streaming=camera
    )

    def pass_file(payload: Any) -> str | bytes | None:
        if payload and payload.url and payload.url.startswith("data:"):
            return _from_data_url(payload.url)
        return _find_upload(payload.path, folder) if payload and payload.path else None

    _confine(upload, folder, pass_file)
    return upload


def files_upload(folder: Path) -> gr.File:
    """An input whose value are the paths of uploads, in the app's folder."""
    import gradio as gr

    upload = gr.File(file_count="multiple", label="Images")

    def pass_files(payload: Any) -> list[str]:
        return [_find_upload(file.path, folder) for file in payload.root] if payload else []

    _confine(upload, folder, pass_files)
    return upload


def chosen(image: str | bytes | None) -> str | bytes:
    """The image, if a visitor has chosen one; else a sentence is shown."""
    import gradio as gr

    if image is None:
        raise gr.Error("Choose an image first.", print_exception=False)
    return image


def _confine(upload: Any, folder: Path, preprocess: Callable[[Any], Any]) -> None:
    """Let a component read the app's folder alone, and leave the files unopened.

    Gradio lets a request name any file or URL. It opens each file itself, and if that fails it
    shows an error without a reason.
    """
    copy_to_cache = upload.async_move_resource_to_block_cache

    async def copy_upload(path: str) -> str | None:
        result: str | None = await copy_to_cache(_find_upload(path, folder))
        return result

    upload.preprocess, upload.async_move_resource_to_block_cache = preprocess, copy_upload


def _find_upload(path: str, folder: Path) -> str:
    """The file, if it is in the folder: its path, or the URL that it has in an app.

    Nothing is fetched: of a URL, which MCP clients send, only the path counts.
    """
    import gradio as gr

    if path.startswith(("http://", "https://")):
        path = unquote(urlsplit(path).path.partition(FILE_ADDRESS)[2])
    try:
        found = Path(path).resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, ValueError):
        found = False
    if not found:
        sentence = "This image is not here any more. Choose it again."
        raise gr.Error(sentence, print_exception=False)
    return path


def _from_data_url(url: str) -> bytes:
    try:
        return base64.b64decode(url.partition("base64,")[2], validate=True)
    except ValueError:  # and so binascii.Error
        return b""


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
    """At most `MAX_EXAMPLES` of the images below a folder, evenly chosen, so of every class.

    Raises:
        DataError: if there are none.

    """
    if not folder.is_dir():
        raise DataError(f"--examples {folder}: no such folder")
    images = sorted(filter(is_image, files_below(folder)))
    if not images:
        raise DataError(f"--examples {folder}: no images in this folder")
    if len(images) > MAX_EXAMPLES:
        log.info("%s: %d of %d images are shown", folder, MAX_EXAMPLES, len(images))
        return [images[i * len(images) // MAX_EXAMPLES] for i in range(MAX_EXAMPLES)]
    return images


def copy_examples(images: Iterable[Path], folder: Path) -> list[Path]:
    """Small copies of images in an app's folder; those that cannot be opened are left out."""
    copies = []
    for number, path in enumerate(images):
        try:
            image = open_image(path, min_side=EXAMPLE_SIDE).copy()
        except ImageError as error:
            log.warning("%s; it is left out of the examples", error)
            continue
        image.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE))
        copies.append(folder / f"example-{number}.jpg")
        image.save(copies[-1], quality=90)
    return copies
