"""From an exported folder to a static page that runs the model in the visitor's browser.

An export with ONNX graphs comes in; out goes a folder for any web server: the page, the graph with
its own preprocessing, and an image with its known answer, by which the page checks what a browser
computes.
"""

from __future__ import annotations

import hashlib
import html
import shutil
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image

from foodvision import drawings
from foodvision.apps.browser.runtime import BINARIES, CDN, VERSION, runtime_files, vendored
from foodvision.backends.runs import graph_file, weights_file
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.info import Export, is_export
from foodvision.classifier.predict import answer
from foodvision.errors import ModelError
from foodvision.files.atomic import new_folder
from foodvision.text import printable, to_json
from foodvision.weights.repository import CONFIG, read_json

MAX_BYTES = 100_000_000
"""Of the model: a phone's browser holds it three times while it loads, and GitHub Pages takes no
larger file."""

STATIC = (
    *("app.js", "camera.js", "engine.js", "load.js", "photo.js", "webp.js", "worker.js"),
    "style.css",
)

KNOWN_SIDE = 384
"""Pixels of the known image: about what a photograph has once the page has reduced it."""


def write_page(
    export_folder: Path, out: Path, title: str, description: str, vendor: Path | None = None
) -> None:
    """Write a folder with a page that needs only a web server, and after a visit no network.

    The graph in float32 is used, or the one in int8 if only that is at most `MAX_BYTES`.

    Args:
        export_folder: that `foodvision.export` wrote, with ONNX graphs.
        out: a folder that does not exist yet, or an empty one.
        title: of the page, plain text.
        description: a sentence below it, plain text.
        vendor: where ``npm install onnxruntime-web`` was run; its files are copied, so that the
            page loads nothing from elsewhere. None: the page loads them from a CDN.

    Raises:
        FoodvisionError: if `vendor` has not the runtime that the page was made for.
        MissingExtraError: if ONNX Runtime is not installed.
        ModelError: if this is no export with an ONNX graph, or it is too large for a browser.
        OSError: if the folder cannot be written, or is not empty.

    """
    classifier = ExportedClassifier.read(export_folder, _choose_run(export_folder))
    runtimes = vendored(vendor) if vendor else None
    with new_folder(out) as folder:
        (folder / "model").mkdir()
        graph = graph_file(export_folder, classifier.run, "image")
        model = {"graph": _copy(graph, folder / "model")}
        model["weights"] = _copy(weights_file(graph), folder / "model")
        for path in runtimes or ():
            (folder / "runtime").mkdir(exist_ok=True)
            _copy(path, folder / "runtime")
        known = draw_known()
        known.save(folder / "known.png", optimize=True)
        page = _describe(classifier, known) | {"model": model}
        page["runtimes"] = runtime_files("runtime/" if runtimes else CDN)
        _write_files(folder, page, printable(title), printable(description), bool(runtimes))


def draw_known() -> Image.Image:
    """The image by which the page checks each runtime."""
    return drawings.draw_image("pizza", seed=0).resize((KNOWN_SIDE,) * 2, Image.Resampling.NEAREST)


def _choose_run(folder: Path) -> str:
    """In float32 if that is small enough, else in int8."""
    config = read_json(folder / CONFIG)
    if not is_export(config):
        raise ModelError(
            f"{folder}: not an exported folder; write one with foodvision export --format onnx"
        )
    runs = [run for run in Export.from_config(config).runs if run.startswith("onnx/")]
    if not runs:
        raise ModelError(
            f"{folder}: has no ONNX graph; write one with foodvision export --format onnx"
        )
    sizes = {run: _num_bytes(folder, run) for run in sorted(runs)}
    for run, size in sizes.items():  # float32 before int8
        if size <= MAX_BYTES:
            return run
    found = ", ".join(f"{size / 1e6:.0f} MB in {run[5:]}" for run, size in sizes.items())
    advice = (
        "choose a smaller network or another target"
        if "onnx/int8" in sizes
        else "export it with --int8, or choose a smaller network or another target"
    )
    raise ModelError(
        f"{folder}: {found}; a page loads at most {MAX_BYTES / 1e6:.0f} MB in a visitor's browser; "
        + advice
    )


def _num_bytes(folder: Path, run: str) -> int:
    graph = graph_file(folder, run, "image")
    try:
        return graph.stat().st_size + weights_file(graph).stat().st_size
    except OSError as error:
        raise ModelError(f"{folder}: {graph.name} is missing; export the model again") from error


def _describe(classifier: ExportedClassifier, known: Image.Image) -> dict[str, Any]:
    """What page.json says of the model."""
    spec, limits = classifier.spec, classifier.limits
    row = classifier.judge(np.asarray(known))
    probabilities = answer("", row[:-1], classifier.classes).probabilities
    return {
        "classes": [printable(name) for name in classifier.classes],
        "limits": limits and {"min_probability": limits[0], "max_distance": limits[1]},
        "known": {
            "probabilities": [probabilities[name] for name in classifier.classes],
            "distance": float(row[-1]) if limits else None,
        },
        "resized_side": max(spec.height, spec.width, spec.resize_size or 0),
        "precision": classifier.run.partition("/")[2],
        "facts": _facts(classifier),
        "runtime_version": VERSION,
    }


def _facts(classifier: ExportedClassifier) -> list[str]:
    facts = [f"Answers come from {classifier.config.kind}."]
    if measured := classifier.info.metrics:
        facts.append(
            f"On {measured.n:,} validation images, {measured.accuracy:.0%} of its answers were "
            f"right (log loss {measured.log_loss:.2f})."
        )
    return facts


def _copy(path: Path, folder: Path) -> dict[str, Any]:
    """Copy a file; return how page.json refers to it."""
    copied = folder / path.name
    shutil.copyfile(path, copied)
    with copied.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    url = f"{folder.name}/{path.name}"
    return {"url": url, "bytes": copied.stat().st_size, "sha256": digest}


def _write_files(
    folder: Path, page: dict[str, Any], title: str, description: str, own_runtime: bool
) -> None:
    """Write the page itself; its version changes with anything that it consists of."""
    shipped = files("foodvision.apps.browser")
    source = {name: shipped.joinpath(name).read_text(encoding="utf-8") for name in STATIC}
    values = {"title": title, "description": description, "policy": _policy(own_runtime)}
    template = Template(shipped.joinpath("index.html").read_text(encoding="utf-8"))
    source["index.html"] = template.substitute({k: html.escape(v) for k, v in values.items()})
    worker = shipped.joinpath("sw.js").read_text(encoding="utf-8")
    everything = to_json([page, source, worker]).encode()
    version = hashlib.sha256(everything).hexdigest()[:16]
    source["page.json"] = to_json(page | {"version": version}, indent=1)
    source["sw.js"] = f'const VERSION = "{version}";\n{worker}'
    for name, text in source.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _policy(own_runtime: bool) -> str:
    """The page's content security policy while it loads; app.js then forbids every connection."""
    connect = "'self'" if own_runtime else " ".join(["'self'", *(CDN + name for name in BINARIES)])
    return (
        "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        f"style-src 'self'; img-src 'self' blob:; connect-src {connect}; base-uri 'none'; "
        "form-action 'none'"
    )
