"""The files of a model that go online: what loads it, and nothing of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from foodvision.backends.runs import KINDS, graph_file, weights_file
from foodvision.captioning.repository import find_captioner
from foodvision.classifier.info import KEY, Export, is_export
from foodvision.classifier.licence import without_folders
from foodvision.errors import ModelError
from foodvision.files.atomic import write_json
from foodvision.weights.repository import (
    CARD,
    CONFIG,
    PREPROCESSOR,
    UNSURE,
    WEIGHTS,
    read_json,
)


def copy_model(source: Path, out: Path) -> None:
    """Copy a classifier, or an export with all its graphs.

    A run's history, its list of training images and its checkpoints stay here.

    Args:
        source: of the model.
        out: a folder that does not exist yet.

    """
    config = read_json(source / CONFIG)
    out.mkdir()
    for name in (WEIGHTS, PREPROCESSOR, UNSURE, CARD):
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    if is_export(config):
        for run in Export.from_config(config).runs:
            _copy_graphs(source, out, run)
    write_json(out / CONFIG, _public(config))


def copy_onnx(source: Path, out: Path) -> None:
    """Copy the one graph of an export that an app on ONNX Runtime needs, which takes images.

    In int8 if the export has that: it was kept because it is as good and faster.

    Args:
        source: an exported folder.
        out: a folder that does not exist yet.

    Raises:
        ModelError: if it has no ONNX graph.

    """
    config = read_json(source / CONFIG)
    runs = [run for run in Export.from_config(config).runs if run.startswith("onnx/")]
    if not runs:
        raise ModelError("has no ONNX graph; write one with foodvision export --format onnx")
    run = "onnx/int8" if "onnx/int8" in runs else runs[0]
    out.mkdir()
    shutil.copyfile(source / PREPROCESSOR, out / PREPROCESSOR)
    graph = graph_file(source, run, "image")
    _copy(graph, source, out)
    _copy(weights_file(graph), source, out)
    exported = config[KEY]["export"]
    exported["runs"] = [run]
    for part in ("limits", "checks"):
        exported[part] = {name: of for name, of in exported[part].items() if name == run}
    write_json(out / CONFIG, _public(config))


def _copy_graphs(source: Path, out: Path, run: str) -> None:
    for kind in KINDS:
        graph = graph_file(source, run, kind)
        _copy(graph, source, out)
        _copy(weights_file(graph), source, out)


def _copy(file: Path, source: Path, out: Path) -> None:
    copied = out / file.relative_to(source)
    if file.is_file() and not copied.exists():  # two kinds of a graph may share their weights
        copied.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copied)


def _public(config: dict[str, Any]) -> dict[str, Any]:
    recipe = (config.get(KEY) or {}).get("recipe") or {}
    for name, value in recipe.items():
        if isinstance(value, str):
            recipe[name] = without_folders(value)
    return config


def copy_captioner(source: Path, out: Path) -> None:
    """Copy what is read of a captioner's folder.

    Args:
        source: a folder that transformers wrote.
        out: a folder that does not exist yet.

    Raises:
        ModelError: if it is not a captioner.

    """
    weights = find_captioner(source).weights
    out.mkdir()
    for path in [*source.glob("*.json"), *source.glob("*.txt"), *source.glob(CARD), weights]:
        shutil.copyfile(path, out / path.name)
