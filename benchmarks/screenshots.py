"""Screenshots of both apps for docs/: desktop and phone width, light and dark.

    .venv/bin/python -m benchmarks.screenshots MODEL CAPTIONER [--out docs]

MODEL is a classifier of drawings (of the recipe `demo`), CAPTIONER a folder or Hub id. The images
shown are drawings.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from foodvision import drawings
from foodvision.apps.caption import build_caption_app
from foodvision.apps.classify import build_app
from foodvision.apps.uploads import private_folder
from foodvision.captioning.captioner import Captioner
from foodvision.classifier.classifier import Classifier

if TYPE_CHECKING:
    import gradio as gr

SIZES = {"desktop": (1280, 960), "phone": (390, 1300)}
COLOURS = 64
ANSWER_MS = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("captioner")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        samples = [Path(name) / f"{label}.png" for label in drawings.CLASSES]
        for seed, path in enumerate(samples, 7):
            drawings.draw_image(path.stem, seed).resize((384, 384)).save(path)
        classifier = Classifier.load(arguments.model, "cpu")
        with serving(lambda folder: build_app(classifier, folder, samples)) as url:
            take(url, arguments.out, "app", samples[0], classify)
        captioner = Captioner.load(arguments.captioner, "cpu")
        with serving(lambda folder: build_caption_app(captioner, folder, samples)) as url:
            take(url, arguments.out, "caption", samples[0], describe)


@contextmanager
def serving(build: Callable[[Path], gr.Blocks]) -> Iterator[str]:
    with private_folder() as folder:
        app = build(folder)
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True)
        yield url
        app.close()


def take(url: str, out: Path, name: str, image: Path, use: Callable[[Page], None]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for size, (width, height) in SIZES.items():
            for theme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(f"{url}?__theme={theme}")
                page.locator("input[type=file]").first.set_input_files(image)
                page.wait_for_timeout(1_000)
                use(page)
                page.wait_for_timeout(500)
                shot = Image.open(io.BytesIO(page.screenshot(full_page=True)))
                few = shot.convert("RGB").quantize(COLOURS)
                few.save(out / f"{name}-{size}-{theme}.png", optimize=True)
                page.close()
        browser.close()


def classify(page: Page) -> None:
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.locator("[data-testid$=-confidence-set]").first).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("button", name="What did it look at?").click()
    expect(page.get_by_text("A hint, not a proof")).to_be_visible(timeout=ANSWER_MS)


def describe(page: Page) -> None:
    page.get_by_role("button", name="Describe").click()
    caption = page.get_by_label("Caption", exact=True)
    expect(caption).not_to_have_value("", timeout=ANSWER_MS)


if __name__ == "__main__":
    main()
