"""The app as users see it: in a real browser, and through Gradio's client."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from PIL import Image
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from playwright.sync_api import expect, sync_playwright

from foodvision import drawings
from foodvision.apps import uploads
from foodvision.apps.answers import Answers
from foodvision.apps.batcher import MAX_BATCH
from foodvision.apps.body_limit import MAX_BODY_MB
from foodvision.apps.classify import MAX_CLASSES, MAX_FILES, build_app
from foodvision.apps.uploads import private_folder
from foodvision.apps.wording import Wording
from foodvision.classifier.info import ModelInfo, TrainingData
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.classifier.unsure import Unsure
from foodvision.errors import MissingExtraError
from foodvision.explanation import explain
from tests.apps.conftest import CHROMIUM_ARGUMENTS
from tests.conftest import (
    CLASSES,
    build_classifier,
    build_torchvision_classifier,
    draw_pattern,
)

# Gradio and its client leave files and event loops to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", params=["vit", "resnet18"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[TorchClassifier, str]]:
    vit = request.param == "vit"
    classifier = build_classifier() if vit else build_torchvision_classifier(request.param)
    with serving(classifier) as (url, _):
        yield classifier, url


@contextmanager
def serving(classifier: TorchClassifier, mcp: bool = False) -> Iterator[tuple[str, Path]]:
    """The app's address, and its private folder."""
    with private_folder() as folder:
        app = build_app(classifier, folder)
        _, url, _ = app.launch(
            prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", mcp_server=mcp
        )
        yield url, folder
        app.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Rotated by EXIF and half transparent: what apps get wrong."""
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    image = draw_pattern("stripes", 5).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(path, exif=exif)
    return path


def test_browser_shows_the_prediction(
    served: tuple[TorchClassifier, str], photo: Path, chromium: str
) -> None:
    classifier, url = served
    expected = classifier.predict(photo)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page()
        page.goto(url)
        page.locator("input[type=file]").first.set_input_files(photo)
        page.get_by_role("button", name="Classify", exact=True).click()
        heading = page.locator("h2[data-testid=label-output-value]")
        expect(heading).to_have_text(expected.label, timeout=30_000)
        shown = page.locator("[data-testid$=-confidence-set]")
        expect(shown).to_have_count(len(CLASSES))
        expect(shown.first).to_contain_text(f"{expected.probability:.0%}")
        expect(page.get_by_label("Prediction time (s)")).to_have_value(re.compile(r"^\d+\.\d+$"))
        browser.close()


def test_client_gets_the_same_prediction(served: tuple[TorchClassifier, str], photo: Path) -> None:
    classifier, url = served
    label, seconds = Client(url, verbose=False).predict(handle_file(photo), api_name="/predict")
    expected = classifier.predict(photo)
    assert label["label"] == expected.label
    got = {row["label"]: row["confidence"] for row in label["confidences"]}
    assert got == pytest.approx(expected.probabilities, abs=1e-6)
    assert isinstance(seconds, float)
    assert 0 < seconds < 30


@pytest.mark.parametrize(
    ("classifier", "kind"),
    [
        (build_classifier(), "a Vision Transformer (arXiv 2010.11929)"),
        (build_torchvision_classifier("resnet18"), "torchvision's resnet18"),
    ],
    ids=["vit", "resnet18"],
)
def test_description_names_the_model(
    classifier: TorchClassifier, kind: str, tmp_path: Path
) -> None:
    assert (
        f"Answers come from {kind}. It knows only these classes: dots, stripes, waves."
    ) in texts(build_app(classifier, tmp_path))


def texts(app: gr.Blocks) -> str:
    """All Markdown of the page."""
    found = (part["props"].get("value") for part in app.get_config_file()["components"])
    return "\n".join(text for text in found if isinstance(text, str))


def test_the_owner_chooses_the_words(tmp_path: Path) -> None:
    wording = Wording("My *dots*", "About **dots**.", "[Code](https://example.org)")
    app = build_app(build_classifier(), tmp_path, wording=wording)
    assert app.title == "My *dots*"
    shown = texts(app)
    assert all(text in shown for text in (r"# My \*dots\*", "About **dots**.", "[Code]"))
    assert "Answers come from" in shown


def test_drawings_are_examples_for_a_model_of_drawings_alone(tmp_path: Path) -> None:
    classifier = build_classifier(classes=drawings.CLASSES)
    for name, count in (("photos", 0), (drawings.NAME, 3)):
        data = TrainingData(name=name, train=3, validation=0, unreadable=0, fingerprint="0" * 64)
        classifier.info = ModelInfo(data=data)
        build_app(classifier, tmp_path)
        assert len(list(tmp_path.iterdir())) == count


def test_a_lent_gpu_has_no_camera_and_answers_one_visitor_at_a_time(tmp_path: Path) -> None:
    calls: list[int] = []

    def gpu(duration: int) -> Any:
        def decorate(function: Any) -> Any:
            def counted(sources: list[str]) -> Any:
                calls.append(len(sources))
                return function(sources)

            return counted

        return decorate

    classifier = build_classifier()
    assert "Camera" in str(build_app(classifier, tmp_path).get_config_file())
    assert "Camera" not in str(build_app(classifier, tmp_path, gpu=gpu).get_config_file())
    images = [tmp_path / f"{seed}.png" for seed in range(MAX_BATCH + 1)]
    for seed, path in enumerate(images):
        draw_pattern("dots", seed).save(path)
    answers = Answers(classifier, gpu)
    assert answers.predict(str(images[0])).label == classifier.predict(images[0]).label
    names = [row.path for row in answers.predict_many(list(map(str, images)))]
    assert names == [path.name for path in images]
    assert calls == [1, MAX_BATCH, 1]


def test_uploads_are_deleted_after_a_while_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times, idle = Queue[float](), Semaphore(0)

    def monotonic() -> float:
        """Called as a sweep begins, and so after the one before."""
        idle.release()
        return times.get()

    def sweep(now: float) -> None:
        times.put(now)
        assert idle.acquire(timeout=60)

    monkeypatch.setattr(uploads, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(uploads, "time", SimpleNamespace(monotonic=monotonic))
    example, old, again, new = (tmp_path / name for name in ("example", "hash/old", "again", "new"))
    example.touch()
    with uploads.swept(tmp_path):
        assert idle.acquire(timeout=60)
        old.parent.mkdir()
        for path, date in ((old, 0), (again, 2**32)):  # before and after the clock was set
            path.touch()
            os.utime(path, (date, date))
        sweep(0)
        assert old.exists()
        again.touch()  # uploaded once more
        new.touch()
        sweep(uploads.KEEP_SECONDS + 1)
        assert not old.exists()
        assert again.exists()
        assert new.exists()
        sweep(2 * uploads.KEEP_SECONDS + 2)
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["example"]
        for _ in range(1000):  # or the thread would wait for ever
            times.put(0)


def too_many_pixels() -> bytes:
    """A PNG of 1 × 1 whose header says 20,000 × 20,000."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "png")
    header = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + buffer.getvalue()[24:29]
    checksum = zlib.crc32(header).to_bytes(4, "big")
    return buffer.getvalue()[:12] + header + checksum + buffer.getvalue()[33:]


def cut_off() -> bytes:
    buffer = io.BytesIO()
    draw_pattern("dots", 1).save(buffer, "png")
    return buffer.getvalue()[:900]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"the file is empty"),
        (b"I am a text.", r"not an image that can be read \(JPEG, .*\)"),
        (cut_off(), r"truncated or damaged \(.*\)"),
        (too_many_pixels(), r".*over the limit of .*"),
    ],
    ids=["empty", "text", "cut off", "too many pixels"],
)
def test_bad_upload_is_one_clear_message(
    content: bytes, reason: str, served: tuple[TorchClassifier, str], tmp_path: Path
) -> None:
    _, url = served
    (tmp_path / "photo.png").write_bytes(content)
    sentence = rf"^This image cannot be opened: {reason}\. Choose another one\.$"
    with pytest.raises(AppError, match=sentence):
        Client(url, verbose=False).predict(handle_file(tmp_path / "photo.png"), api_name="/predict")


def test_heic_upload_is_decoded(served: tuple[TorchClassifier, str], tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    classifier, url = served
    pillow_heif.from_pillow(draw_pattern("dots", 1)).save(tmp_path / "photo.heic")
    photo = handle_file(tmp_path / "photo.heic")
    label, _ = Client(url, verbose=False).predict(photo, api_name="/predict")
    assert label["label"] == classifier.predict(tmp_path / "photo.heic").label


def test_requests_name_uploads_and_no_other_file_or_address(
    served: tuple[TorchClassifier, str], photo: Path
) -> None:
    _, url = served
    for other in (str(photo), str(photo.parent), "http://127.0.0.1:9/photo.png", "\0"):
        answer = request(url, {"path": other})
        assert "not here any more" in answer, other
    assert "Choose an image first" in request(url, {"url": "http://127.0.0.1:9/photo.png"})


def request(url: str, image: object, name: str = "predict") -> str:
    """What the server answers to a request that no client would make."""
    address = f"{url}gradio_api/call/{name}"
    response = httpx.post(address, json={"data": [image]})
    return httpx.get(f"{address}/{response.json()['event_id']}", timeout=30).text


def test_a_failing_model_is_a_sentence(photo: Path) -> None:
    classifier = build_classifier()
    classifier.network.head = None
    with serving(classifier) as (url, _), pytest.raises(AppError, match="The model failed"):
        Client(url, verbose=False).predict(handle_file(photo), api_name="/predict")


def test_class_names_are_text_not_markup(photo: Path, chromium: str) -> None:
    classes = ('<img src="http://evil.test/1">', "![x](http://evil.test/2)", "*a* & \udcff\x1b")
    asked: list[str] = []
    with (
        serving(build_classifier(classes=classes)) as (url, folder),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.locator("input[type=file]").first.set_input_files(photo)
        page.get_by_role("button", name="Classify", exact=True).click()
        expect(page.locator("[data-testid$=-confidence-set]")).to_have_count(3, timeout=30_000)
        shown = page.locator("body").inner_text()
        for name in (*classes[:2], r"*a* & \udcff\x1b"):
            assert shown.count(name) >= 2, name  # in the description and with its probability
        # Nothing that was uploaded is kept in the browser, for whoever uses it next.
        assert not page.evaluate("Object.keys(localStorage).filter(k => k.includes('history'))")
        for upload in folder.rglob("photo.png"):
            upload.unlink()  # as it is after a while
        page.get_by_role("button", name="Classify", exact=True).click()
        expect(page.locator(".toast-body")).to_contain_text("Choose it again", timeout=30_000)
        browser.close()
    assert {httpx.URL(address).host for address in asked if address.startswith("http")} == {
        "127.0.0.1"
    }


def test_uploads_are_private_and_removed_at_the_end(photo: Path, tmp_path: Path) -> None:
    build_classifier().save(tmp_path / "model")
    (tmp_path / "tmp").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "foodvision", "app", tmp_path / "model", "--no-browser"]
    app = subprocess.Popen(
        [*map(str, command), "--port", str(port)],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.2)
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        client.predict(handle_file(photo), api_name="/predict")
        body = b"0" * (MAX_BODY_MB * 1024**2 + 1)
        for content in (body, iter([body])):  # the second without a length
            refused = httpx.post(f"{client.src}gradio_api/call/predict", content=content)
            assert "Upload the image first" in refused.text
            assert refused.status_code == 413
        (folder,) = (tmp_path / "tmp").glob("foodvision-app-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(folder.rglob("photo.png"))
        app.send_signal(signal.SIGTERM)  # which Ctrl-C equals
        app.wait(60)
        assert not list((tmp_path / "tmp").rglob("*.png"))
        assert not folder.exists()
    finally:
        app.kill()
        app.wait()


def test_missing_gradio_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foodvision\[app\]'"):
        build_app(build_classifier(), tmp_path)


def test_the_app_says_when_it_is_not_sure(tmp_path: Path, photo: Path) -> None:
    classifier = build_classifier()
    D = classifier.network.head.in_features
    for max_distance, sentence in ((1e9, False), (-1e9, True)):
        classifier.unsure = Unsure(torch.zeros(D), torch.eye(D)[:, :2], 1.0, 0.0, max_distance)
        app = build_app(classifier, tmp_path)
        predict = next(f.fn for f in app.fns.values() if f.api_name == "predict")
        shown, _, not_sure = predict(str(photo))
        assert sum(shown.values()) == pytest.approx(1)
        assert ("not sure" in not_sure) is sentence


def test_several_images_are_a_table_and_a_csv_file(
    served: tuple[TorchClassifier, str], photo: Path, tmp_path: Path
) -> None:
    classifier, url = served
    (tmp_path / "=bad.png").write_text("I am a text.")
    images = [handle_file(photo), handle_file(tmp_path / "=bad.png")]
    table, file = Client(url, verbose=False).predict(images, api_name="/predict_many")
    expected = classifier.predict(photo)
    assert table["headers"] == ["image", "label", "probability", "sure", "error"]
    first, second = table["data"]
    assert first == ["photo.png", expected.label, round(expected.probability, 4), "", ""]
    assert second[1:4] == ["", None, ""]
    assert second[4].startswith("not an image that can be read")
    with Path(file).open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert Path(file).name == "predictions.csv"
    assert [row["label"] for row in rows] == [expected.label, ""]
    assert {name: float(rows[0][f"p_{name}"]) for name in CLASSES} == pytest.approx(
        expected.probabilities, abs=1e-6
    )
    assert rows[1]["path"].endswith("bad.png")
    assert not rows[1]["path"].startswith("=")  # which a spreadsheet would run


def test_several_images_are_not_too_many(served: tuple[TorchClassifier, str], photo: Path) -> None:
    client = Client(served[1], verbose=False)
    with pytest.raises(AppError, match=r"^Choose some images first\.$"):
        client.predict([], api_name="/predict_many")
    with pytest.raises(AppError, match=rf"^{MAX_FILES + 1} images are too many; choose at most"):
        client.predict([handle_file(photo)] * (MAX_FILES + 1), api_name="/predict_many")
    other = [{"path": str(photo), "meta": {"_type": "gradio.FileData"}}]
    assert request(served[1], other, "predict_many").startswith("event: error")


def test_what_it_looked_at_is_laid_over_the_image(
    served: tuple[TorchClassifier, str], photo: Path
) -> None:
    classifier, url = served
    overlay, text = Client(url, verbose=False).predict(handle_file(photo), api_name="/explain")
    method = "attention rollout" if classifier.config.kind.startswith("a Vision") else "Grad-CAM"
    assert f"“{classifier.predict(photo).label}” ({method})" in text
    found = explain(classifier, photo)
    with Image.open(overlay) as image:
        assert min(image.size) == 384
        shown = np.asarray(image.convert("RGB").resize(found.map.shape[::-1]), float)
    if found.map.any():  # bright where the map is high
        brightness = shown.mean(axis=2) - 0.4 * found.image.mean(axis=2)
        assert np.corrcoef(brightness.ravel(), found.map.ravel())[0, 1] > 0.7


def test_five_of_101_classes_are_shown(photo: Path) -> None:
    classes = tuple(f"class {number}" for number in range(101))
    classifier = build_classifier(classes=classes)
    with serving(classifier) as (url, _):
        label, _ = Client(url, verbose=False).predict(handle_file(photo), api_name="/predict")
    expected = list(classifier.predict(photo).probabilities)
    assert [row["label"] for row in label["confidences"]] == expected[:MAX_CLASSES]


def test_an_agent_calls_it_as_a_tool(photo: Path) -> None:
    """Over MCP: an image that was uploaded, and one within the request; no file, no other URL."""
    classifier = build_classifier()

    async def call(url: str) -> list[str]:
        with photo.open("rb") as file:
            (path,) = httpx.post(f"{url}gradio_api/upload", files={"files": file}).json()
        inline = base64.b64encode(photo.read_bytes()).decode()
        async with (
            streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            names = [tool.name for tool in (await session.list_tools()).tools]
            assert names == ["predict", "explain"]
            images = (
                f"{url}gradio_api/file={path}",
                f"data:image/png;base64,{inline}",
                "data:image/png;base64,?",
                f"http://169.254.169.254/gradio_api/file={photo}",
                "http://127.0.0.1:9/photo.png",
            )
            results = [await session.call_tool("predict", {"image": image}) for image in images]
            overlay = await session.call_tool("explain", {"image": images[0]})
            return [result.content[0].text for result in results] + [overlay.content[0].text]

    with serving(classifier, mcp=True) as (url, _):
        uploaded, inline, damaged, outside, elsewhere, overlay = asyncio.run(call(url))
    label = classifier.predict(photo).label
    assert f"'label': '{label}'" in uploaded
    assert f"'label': '{label}'" in inline
    assert "cannot be opened" in damaged
    assert "not here any more" in outside
    assert "not here any more" in elsewhere
    assert "/image.jpeg" in overlay  # its address, and the sentence with it
    assert "A hint, not a proof" in overlay


def test_browser_classifies_the_frames_of_a_camera(
    served: tuple[TorchClassifier, str], chromium: str
) -> None:
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[*CHROMIUM_ARGUMENTS, *fake]
        )
        page = browser.new_page()
        # Gradio's stream did not begin once in some hundred times: a visitor would load it again.
        for _ in range(3):
            page.goto(served[1])
            page.get_by_role("tab", name="Camera").click()
            page.get_by_text("Click to Access Webcam").click()
            page.get_by_text("Record", exact=True).click()
            rate = page.get_by_label("Frames per second")
            with suppress(PlaywrightTimeoutError):
                page.wait_for_function("input => input.value > 0", arg=rate.element_handle())
                break
        expect(rate).to_have_value(re.compile(r"^[1-9]\d*(\.\d)?$|^0\.[1-9]$"))
        shown = page.locator("h2[data-testid=label-output-value]:visible")
        expect(shown).to_have_text(re.compile("|".join(CLASSES)))
        browser.close()
