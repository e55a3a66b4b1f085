"""transformers.js, from an exported folder as it is, against the classifier.

    python benchmarks/transformers_js.py CLASSIFIER EXPORT PHOTOS [--browser]

Installs @huggingface/transformers from npm into a temporary folder (needs Node 20). `--images` of
the photographs below PHOTOS, drawn at random, go one at a time through
`pipeline("image-classification", EXPORT)`: without a dtype, and with each dtype that EXPORT has.
`--browser` does the same in headless Chromium (extra `dev`, and chromium), where onnxruntime-web
computes in WASM. Only npm reaches the network: transformers.js may not download anything.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.images.decode import SUFFIXES

SCRIPT = Path(__file__).with_suffix(".mjs")
PACKAGE = "@huggingface/transformers"
FILES = {"fp32": "model.onnx", "q8": "model_quantized.onnx"}

PAGE = """<script type="importmap">{"imports": {
"@huggingface/transformers": "./node_modules/@huggingface/transformers/dist/transformers.min.js"
}}</script>"""
"""transformers.min.js has onnxruntime-web inside; its WASM files lie in a package of their own."""

IN_BROWSER = """async (task) => {
    const { env } = await import("@huggingface/transformers");
    const runtime = new URL("./node_modules/onnxruntime-web/dist/", location);
    env.backends.onnx.wasm.wasmPaths = runtime.href;
    env.useBrowserCache = false;
    const { classifyAll } = await import("./transformers_js.mjs");
    return await classifyAll(task.models, task.model, task.dtypes, task.images);
}"""

Answers: TypeAlias = dict[str, list[dict[str, float]]]
"""The probabilities of each image, by dtype."""


def main() -> None:
    """Print the labels that differ and the largest difference of a probability, by dtype."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classifier", help="that was exported")
    parser.add_argument("export", type=Path, help="its exported folder, with ONNX graphs")
    parser.add_argument("photos", type=Path, help="a folder of photographs")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--browser", action="store_true", help="also in headless Chromium")
    args = parser.parse_args()
    found = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in SUFFIXES)
    photos = random.Random(0).sample(found, args.images)
    classifier = TorchClassifier.load(args.classifier, "cpu")
    expected = [classifier.predict(photo).probabilities for photo in photos]
    dtypes = [name for name, file in FILES.items() if (args.export / "onnx" / file).is_file()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        version = install(folder)
        for number, photo in enumerate(photos):
            shutil.copy(photo, folder / f"{number}{photo.suffix}")
        shutil.copytree(args.export, folder / "models" / "export")
        images = [f"{number}{photo.suffix}" for number, photo in enumerate(photos)]
        task = {"models": "models/", "model": "export", "images": images}
        task["dtypes"] = ["default", *dtypes]
        print(f"{classifier.config.description}, {len(photos)} photographs, {PACKAGE} {version}")
        report("Node", expected, in_node(folder, task), photos)
        if args.browser:
            report("Chromium, WASM", expected, in_browser(folder, task), photos)


def install(folder: Path) -> str:
    """Install transformers.js, without the CUDA library of onnxruntime-node; return its version."""
    (folder / "package.json").write_text("{}")
    environment = os.environ | {"ONNXRUNTIME_NODE_INSTALL": "skip"}
    npm = ["npm", "install", "--no-audit", "--no-fund", PACKAGE]
    subprocess.run(npm, cwd=folder, env=environment, check=True, capture_output=True)
    shutil.copy(SCRIPT, folder)
    package = json.loads((folder / "node_modules" / PACKAGE / "package.json").read_text())
    return str(package["version"])


def in_node(folder: Path, task: dict[str, object]) -> Answers:
    """The answers of transformers.js with onnxruntime-node."""
    (folder / "task.json").write_text(json.dumps(task))
    node = ["node", SCRIPT.name, "task.json", "answers.json"]
    subprocess.run(node, cwd=folder, check=True)
    answers: Answers = json.loads((folder / "answers.json").read_text())
    return answers


def in_browser(folder: Path, task: dict[str, object]) -> Answers:
    """The answers of transformers.js with onnxruntime-web."""
    from playwright.sync_api import sync_playwright

    (folder / "page.html").write_text(PAGE)
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=["--no-sandbox"],  # it opens our own page alone; root has no sandbox
        )
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
        answers: Answers = page.evaluate(IN_BROWSER, task)
    server.shutdown()
    return answers


class Quiet(SimpleHTTPRequestHandler):
    """A server that does not say what it is asked for."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def report(
    where: str, expected: list[dict[str, float]], answers: Answers, photos: list[Path]
) -> None:
    """Print how the answers differ from the classifier's."""
    for dtype, found in answers.items():
        pairs = list(zip(photos, expected, found, strict=True))
        others = [photo.name for photo, a, b in pairs if best(a) != best(b)]
        differences = [max(abs(a[name] - b[name]) for name in a) for _, a, b in pairs]
        print(
            f"{where}, dtype {dtype}: labels that differ: {len(others)} {others or ''}, largest "
            f"difference of a probability {max(differences):.2g}, above 0.02: "
            f"{sum(d > 0.02 for d in differences)} of {len(differences)}"
        )


def best(probabilities: dict[str, float]) -> str:
    """The answer."""
    return max(probabilities, key=probabilities.__getitem__)


if __name__ == "__main__":
    main()
