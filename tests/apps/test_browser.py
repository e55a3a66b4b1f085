"""The static page: the files that are written, and, with a runtime at hand, a visit in Chromium.

CI has no network, so the visit needs ``FOODVISION_ORT_WEB``, a folder where
``npm install onnxruntime-web`` was run; `benchmarks/browser_page.py` checks far more.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

import foodvision.apps.browser.page as browser_page
from foodvision.apps.browser import runtime
from foodvision.apps.browser.page import write_page
from foodvision.apps.browser.runtime import BINARIES, CDN, VERSION
from foodvision.classifier.exported import ExportedClassifier
from foodvision.errors import FoodvisionError, ModelError
from tests.conftest import CLASSES

TITLE, DESCRIPTION = "Dots & <b>stripes</b>?", 'A "page".\x1b<script>alert(1)</script>'


@pytest.fixture(scope="module")
def page(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page"
    write_page(exported, out, TITLE, DESCRIPTION)
    return out


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of npm whose files have the hashes that are asked for."""
    dist = tmp_path / "npm" / "node_modules" / "onnxruntime-web" / "dist"
    dist.mkdir(parents=True)
    hashes = {}
    for name in BINARIES:
        (dist / name).write_text(name)
        hashes[name] = (len(name), hashlib.sha256(name.encode()).hexdigest())
    monkeypatch.setattr(runtime, "BINARIES", hashes)
    return tmp_path / "npm"


class Tags(HTMLParser):
    """What a browser sees: each tag with its attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def listed_files(about: dict) -> list[dict]:
    return [*about["model"].values(), *(f for r in about["runtimes"].values() for f in r.values())]


def test_the_page_has_the_model_and_its_known_answer(page: Path, exported: Path) -> None:
    about = json.loads((page / "page.json").read_text())
    classifier = ExportedClassifier.read(exported, "onnx/float32")
    assert about["classes"] == list(CLASSES)
    limits = about["limits"]
    assert (limits["min_probability"], limits["max_distance"]) == classifier.limits
    known = Image.open(page / "known.png")
    assert known.mode == "RGB"
    expected = classifier.predict(known).probabilities
    found = dict(zip(about["classes"], about["known"]["probabilities"], strict=True))
    assert found == pytest.approx(expected, abs=1e-6)
    assert about["known"]["distance"] == pytest.approx(
        float(classifier.judge(np.asarray(known))[-1])
    )
    for file in about["model"].values():
        content = (page / file["url"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            file["bytes"],
            file["sha256"],
        )
        assert content == (exported / "onnx" / Path(file["url"]).name).read_bytes()


def test_the_runtime_is_pinned_and_nothing_else_is_reached(page: Path) -> None:
    about = json.loads((page / "page.json").read_text())
    for name, file in ((Path(f["url"]).name, f) for f in listed_files(about)[2:]):
        assert file["url"] == CDN + name
        assert (file["bytes"], file["sha256"]) == BINARIES[name]
    assert VERSION in CDN
    tags = Tags((page / "index.html").read_text())
    (policy,) = [m for m in tags.all("meta") if m.get("http-equiv")]
    rules = dict(rule.split(maxsplit=1) for rule in str(policy["content"]).split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"].split() == ["'self'", *(CDN + name for name in BINARIES)]
    assert "'unsafe-inline'" not in str(policy["content"])
    scripts = [path.read_text() for path in page.glob("*.js")]
    for text in (*scripts, (page / "index.html").read_text().replace(CDN, "")):
        assert not re.findall(r"https?://[\w.]+\.\w", text)
        assert "innerHTML" not in text
    assert not [a for _, a in tags.found for key in a if key.startswith("on") or key == "style"]


def test_every_file_that_the_page_refers_to_is_there_and_kept_offline(page: Path) -> None:
    tags = Tags((page / "index.html").read_text())
    linked = {a["src"] for a in tags.all("script")} | {a["href"] for a in tags.all("link")}
    for path in page.glob("*.js"):
        text = path.read_text()
        linked |= set(re.findall(r'from "\./([\w.]+)"', text))
        linked |= set(re.findall(r'fetch\("([\w.]+)"\)', text))
        for name in re.findall(r'\bat\("(\w+)"\)', text):
            assert any(a.get("id") == name for _, a in tags.found), name
    kept = set(re.findall(r'"([\w.]+\.\w+)"', (page / "sw.js").read_text().partition("];")[0]))
    assert linked == kept
    for name in kept:
        assert (page / str(name)).is_file(), name


def test_title_and_description_are_text(page: Path) -> None:
    tags = Tags((page / "index.html").read_text())
    assert TITLE in tags.text
    assert r'A "page".\x1b<script>alert(1)</script>' in tags.text
    assert [a.get("src") for a in tags.all("script")] == ["app.js"]
    assert len(tags.all("b")) == 1  # not sure


def test_another_page_is_another_version(page: Path, exported: Path, tmp_path: Path) -> None:
    write_page(exported, tmp_path / "same", TITLE, DESCRIPTION)
    write_page(exported, tmp_path / "other", TITLE, "Another one.")
    workers = [
        (folder / "sw.js").read_text() for folder in (page, tmp_path / "same", tmp_path / "other")
    ]
    assert workers[0] == workers[1] != workers[2]
    version = json.loads((page / "page.json").read_text())["version"]
    assert workers[0].startswith(f'const VERSION = "{version}";\n')


def test_a_vendored_runtime_is_copied(npm: Path, exported: Path, tmp_path: Path) -> None:
    for number, vendor in enumerate((npm, npm / "node_modules" / "onnxruntime-web")):
        out = tmp_path / str(number)
        write_page(exported, out, "t", "d", vendor)
        about = json.loads((out / "page.json").read_text())
        for file in listed_files(about)[2:]:
            assert (out / file["url"]).read_text() == Path(file["url"]).name
        assert "connect-src &#x27;self&#x27;;" in (out / "index.html").read_text()


def test_another_runtime_is_refused(npm: Path, exported: Path, tmp_path: Path) -> None:
    (name, *_) = BINARIES
    (npm / "node_modules/onnxruntime-web/dist" / name).write_text("another one")
    install = re.escape(f"npm install onnxruntime-web@{VERSION}")
    with pytest.raises(FoodvisionError, match=rf"{re.escape(name)}: is not the .*{install}"):
        write_page(exported, tmp_path / "out", "t", "d", npm)
    (npm / "node_modules/onnxruntime-web/dist" / name).unlink()
    with pytest.raises(FoodvisionError, match=rf"cannot be read .*{install}"):
        write_page(exported, tmp_path / "out", "t", "d", npm)
    with pytest.raises(FoodvisionError, match=rf"has no onnxruntime-web; run {install} there"):
        write_page(exported, tmp_path / "out", "t", "d", tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_model_that_no_browser_should_load_is_refused(
    exported: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(
        (exported / "onnx" / name).stat().st_size for name in ("image.onnx", "model.onnx_data")
    )
    monkeypatch.setattr(browser_page, "MAX_BYTES", size - 1)
    with pytest.raises(ModelError, match=r"0 MB in float32; a page loads at most 0 MB.*--int8"):
        write_page(exported, tmp_path / "out", "t", "d")
    with pytest.raises(
        ModelError, match=r"not an exported folder; write one with foodvision export"
    ):
        write_page(saved, tmp_path / "out", "t", "d")
    both = tmp_path / "both"
    shutil.copytree(exported, both)
    (both / "onnx" / "image_quantized.onnx").write_bytes((both / "onnx/image.onnx").read_bytes())
    (both / "onnx" / "model_quantized.onnx_data").touch()
    config = json.loads((both / "config.json").read_text())
    config["foodvision"]["export"]["runs"] = ["onnx/float32", "onnx/int8"]
    (both / "config.json").write_text(json.dumps(config))
    assert browser_page._choose_run(both) == "onnx/int8"
    config["foodvision"]["export"]["runs"] = ["openvino/float32"]
    (both / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="has no ONNX graph; write one with foodvision export"):
        write_page(both, tmp_path / "out", "t", "d")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def served(exported: Path, tmp_path: Path) -> Iterator[str]:
    vendor = os.environ.get("FOODVISION_ORT_WEB")
    if not vendor or not shutil.which("chromium"):
        pytest.skip("needs Chromium, and FOODVISION_ORT_WEB: where npm installed onnxruntime-web")
    write_page(exported, tmp_path / "page", TITLE, DESCRIPTION, Path(vendor))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "page"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_visit(served: str, exported: Path, patterns: Path) -> None:
    photo = next(patterns.rglob("*.png"))
    expected = ExportedClassifier.read(exported, "onnx/float32").predict(photo)
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(served)
        expect(page.locator("#ask")).to_be_visible(timeout=60_000)
        page.locator("#file").set_input_files(photo)
        expect(page.locator("#label")).to_have_text(str(expected.label), timeout=30_000)
        shown = page.locator("#classes data").first.get_attribute("value")
        assert float(str(shown)) == pytest.approx(expected.probability, abs=1e-3)
        assert page.locator("#unsure").is_visible() is not expected.sure
        sent = page.evaluate("fetch('page.json').then(() => 'sent', () => 'refused')")
        assert sent == "refused"
        browser.close()
