"""The captioning app through Gradio's client and in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from foodvision.apps import caption, uploads
from foodvision.captioning.caption import CaptionSettings
from foodvision.captioning.captioner import Captioner
from tests.apps.conftest import CHROMIUM_ARGUMENTS
from tests.conftest import draw_pattern

# Gradio and its client leave files and event loops to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def captioner(blip: Path) -> Captioner:
    return Captioner.load(blip, backend="cpu/float32")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images: one lies on its side and says where it was taken, one is damaged."""
    folder = tmp_path_factory.mktemp("photos")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret place"
    draw_pattern("stripes", 1, (60, 90)).save(folder / "a.jpg", exif=exif)
    draw_pattern("dots", 2).save(folder / "b.png")
    (folder / "c.jpg").write_text("I am a text.")
    return folder


@pytest.fixture(scope="module")
def url(captioner: Captioner, photos: Path) -> Iterator[str]:
    with uploads.private_folder() as folder:
        examples = uploads.find_examples(photos)
        app = caption.build_caption_app(captioner, folder, examples)
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
        yield url
        app.close()


def test_client_gets_the_captions_of_the_captioner(
    url: str, captioner: Captioner, photos: Path
) -> None:
    client = Client(url, verbose=False)
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/caption"]
    settings = CaptionSettings("a photo of", 4, 8, 3, 1.2)
    written, seconds = client.predict(
        handle_file(photos / "a.jpg"), *vars(settings).values(), api_name="/caption"
    )
    assert tuple(written.splitlines()) == captioner.caption(photos / "a.jpg", settings).captions
    assert 0 < seconds < 30
    plain, _ = client.predict(handle_file(photos / "b.png"), api_name="/caption")
    assert plain == captioner.caption(photos / "b.png").caption


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, r"^This image cannot be opened: not an image that can be read \(.*\)\. Choose"),
        ({"image": None}, r"^Choose an image first\.$"),
        ({"prefix": "a " * 50}, r"^These settings do not work: prefix and max_length are too long"),
        ({"prefix": "a" * 201}, r"^These settings do not work: prefix must be a text of at most"),
        ({"beams": 1000}, r".*1000 is (greater|larger|more)|Value 1000|maximum"),
    ],
)
def test_failures_are_a_sentence(
    changes: dict[str, object], sentence: str, url: str, photos: Path
) -> None:
    good = "b.png" if changes else "c.jpg"
    arguments = {"image": handle_file(photos / good), **changes}
    with pytest.raises(AppError, match=sentence):
        Client(url, verbose=False).predict(**arguments, api_name="/caption")


def test_requests_name_uploads_and_no_other_file(url: str, photos: Path) -> None:
    with pytest.raises(AppError, match="not here any more"):
        Client(url, verbose=False).predict(
            {"path": str(photos / "b.png"), "meta": {"_type": "nothing"}}, api_name="/caption"
        )


def test_browser_describes_an_example_and_an_upload(
    url: str, captioner: Captioner, photos: Path, chromium: str, tmp_path: Path
) -> None:
    copies = uploads.copy_examples(uploads.find_examples(photos), tmp_path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page()
        page.goto(url)
        caption_box = page.get_by_label("Caption", exact=True)
        page.locator("input[type=file]").first.set_input_files(photos / "b.png")
        page.get_by_role("button", name="Describe").click()
        expected = captioner.caption(photos / "b.png").caption
        expect(caption_box).to_have_value(expected, timeout=30_000)
        page.get_by_label("Begins with (optional)").fill("the dog")
        page.get_by_role("button", name="Describe").click()
        expected = captioner.caption(photos / "b.png", CaptionSettings("the dog")).caption
        expect(caption_box).to_have_value(expected, timeout=30_000)
        for number, path in enumerate(copies):
            page.locator("button.gallery-item").nth(number).click()
            expect(page.locator("img[src*='example-']")).to_have_count(2 + 1, timeout=30_000)
            page.get_by_label("Begins with (optional)").fill("")
            page.get_by_role("button", name="Describe").click()
            expected = captioner.caption(path).caption
            expect(caption_box).to_have_value(expected, timeout=30_000)
        browser.close()


def test_examples_are_upright_copies_without_metadata(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "EXAMPLE_SIDE", 50)
    copies = uploads.copy_examples(uploads.find_examples(photos), tmp_path)
    assert [Image.open(path).size for path in copies] == [(33, 50), (48, 40)]
    assert not any(Image.open(path).getexif() for path in copies)
    assert "c.jpg: not an image" in caplog.text
    monkeypatch.setattr(uploads, "MAX_EXAMPLES", 2)
    draw_pattern("dots", 3).save(photos / "d.png")
    assert [path.name for path in uploads.find_examples(photos)] == ["a.jpg", "c.jpg"]
    (photos / "d.png").unlink()
