"""From a classifier to an exported folder: graphs that were proven equal, and what they need."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from foodvision import drawings
from foodvision.backends import Format
from foodvision.backends.runs import remove_graphs
from foodvision.classifier.info import KEY, Export
from foodvision.classifier.licence import licence_of
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset, load_dataset
from foodvision.data.dataset import LabelledImages
from foodvision.data.splits import SPLIT_CSV, training_splits
from foodvision.errors import FoodvisionError, MissingExtraError, ModelError
from foodvision.export.card import export_card
from foodvision.export.verify import Check, Sample, check_faster, fit_limits, verify
from foodvision.files.atomic import new_folder, write_json
from foodvision.images.decode import open_image
from foodvision.progress import progress_bar
from foodvision.weights.box import check_not_named_box
from foodvision.weights.repository import CARD, CONFIG, PREPROCESSOR

log = logging.getLogger(__name__)

DRAWINGS = 32
"""Images to check with where there is no data."""

MAX_CHECKED = 1000
"""Validation images to check with."""

CALIBRATED = 200
"""Training images by which int8 finds the ranges of its numbers."""

MAX_CALIBRATION_SIDE = 512
"""Their longer side, so that all of them fit in memory."""


def export(
    classifier: TorchClassifier | str | Path,
    formats: Sequence[str],
    out: str | Path,
    data: str | Path | Dataset | None = None,
    int8: bool = False,
) -> dict[str, Check]:
    """Write an exported folder; what differs from the network is not kept.

    Args:
        classifier: or what `Classifier.load` takes; its folder is not changed.
        formats: ``onnx``, ``openvino``, or ``triton``, a model repository for that server, whose
            graph is ONNX's in float32 and comes with it.
        out: a folder that does not exist yet, or an empty one.
        data: a dataset with the classifier's classes, or what `load_dataset` takes: its
            validation images check the graphs, its training images calibrate int8. Its test split
            is not opened. None: drawings, which check that answers agree, not that they are right.
        int8: also graphs with products of 8-bit integers.

    Returns:
        The check of each graph, by its run (``onnx/int8``).

    Raises:
        DataError: if the data has no such images, or the classifier lacks a class.
        FoodvisionError: if int8 is asked for without data, or `out` is not empty.
        MissingExtraError: if a library is missing.
        ModelError: with the figures, if a graph drifts from the network, or no int8 graph is as
            good and faster; if there is no such model.
        ValueError: if there is no such format.

    """
    formats = [Format(name) for name in formats]
    graphs = [name for name in formats if name is not Format.triton] or [Format.onnx]
    if int8 and data is None:
        raise FoodvisionError("--int8 is calibrated on training images: give them with --data")
    out = Path(out)
    check_not_named_box(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FoodvisionError(f"{out}: exists already; choose another --out")
    if not isinstance(classifier, TorchClassifier):
        classifier = TorchClassifier.load(classifier, "cpu")
    dataset = data if data is None or isinstance(data, Dataset) else load_dataset(data)
    images = _Images(classifier, dataset)
    with new_folder(out) as folder:
        write_json(folder / PREPROCESSOR, _no_preprocessing())
        if classifier.folder and (trained_on := classifier.folder / SPLIT_CSV).exists():
            shutil.copyfile(trained_on, folder / SPLIT_CSV)  # by which `evaluate` warns
        repository = folder / "triton" / out.name if Format.triton in formats else None
        _write_graphs(classifier, images, folder, graphs, int8, repository)
        checks = _check_all(classifier, images.sample, folder, graphs, int8)
        card = export_card(classifier, checks, out.name, triton=repository is not None)
        (folder / CARD).write_text(card, encoding="utf-8")
    return checks


@dataclass
class _Images:
    """The images that an export needs, read when they are first used."""

    classifier: TorchClassifier
    dataset: Dataset | None

    @cached_property
    def sample(self) -> Sample:
        if self.dataset is None:
            names = [drawings.CLASSES[i % len(drawings.CLASSES)] for i in range(DRAWINGS)]
            drawn = [drawings.draw_image(name, seed=i) for i, name in enumerate(names)]
            return Sample("drawings, for agreement alone", drawn, None)
        images = _some(self._splits[1].relabelled(self.classifier.classes), MAX_CHECKED)
        labels = [images.classes[label] for label in images.labels]
        return Sample(
            f"validation of {self.dataset.name}", [image.source for image in images], labels
        )

    @cached_property
    def _splits(self) -> tuple[LabelledImages, LabelledImages]:
        assert self.dataset is not None
        recipe = self.classifier.info.recipe
        splits = training_splits(
            self.dataset, recipe.get("seed", 0), recipe.get("validation_fraction", 0.15)
        )
        return splits.train.images, splits.validation.images

    def calibration(self) -> list[np.ndarray]:
        """Training images as ``pixel_values``; large ones are scaled down."""
        images = _some(self._splits[0], CALIBRATED)
        pixels = []
        with progress_bar() as bar:
            task = bar.add_task("reading images", total=len(images), unit="images", info="")
            for image in images:
                opened = open_image(image.source, min_side=MAX_CALIBRATION_SIDE)
                opened.thumbnail((MAX_CALIBRATION_SIDE, MAX_CALIBRATION_SIDE))
                channels = np.asarray(opened).transpose(2, 0, 1)
                pixels.append(channels[None].astype(np.float32))
                bar.advance(task)
        return pixels


def _some(images: LabelledImages, most: int) -> LabelledImages:
    """A random part of the images, of every class."""
    chosen = np.random.default_rng(0).permutation(len(images))[:most]
    return images.subset(sorted(chosen.tolist()))


def _write_graphs(
    classifier: TorchClassifier,
    images: _Images,
    folder: Path,
    formats: Sequence[str],
    int8: bool,
    repository: Path | None,
) -> None:
    try:
        from foodvision.export.graph import to_onnx
        from foodvision.export.int8 import dynamically_quantised, quantised
        from foodvision.export.onnx_files import save_onnx
        from foodvision.export.openvino_files import save_openvino, to_openvino
    except ImportError as error:
        raise MissingExtraError("export", "export") from error
    info = classifier.info
    metadata = {
        "image_spec": json.dumps(classifier.spec.to_dict()),
        "classes": json.dumps(classifier.classes),
        "calibration": info.calibration.model_dump_json() if info.calibration else "null",
    }
    log.info("tracing the network")
    whole = to_onnx(classifier, metadata)
    if repository:  # before the graphs are saved, which empties them
        from foodvision.export.triton import save_triton

        save_triton(classifier, whole, repository, images.sample.sources)
    known = images.calibration() if int8 else []
    transformer = classifier.config.family == "vit"
    if "openvino" in formats:
        model = to_openvino(whole)
        save_openvino(model, folder, "openvino/float32")
        if int8:
            small = quantised(model, known, transformer)
            save_openvino(small, folder, "openvino/int8")
    if "onnx" in formats:
        if int8:
            small = dynamically_quantised(whole) if transformer else quantised(whole, known, False)
            save_onnx(small, folder, "onnx/int8")
        save_onnx(whole, folder, "onnx/float32")


def _check_all(
    classifier: TorchClassifier,
    sample: Sample,
    folder: Path,
    formats: Sequence[str],
    int8: bool,
) -> dict[str, Check]:
    """Check every graph; what is refused in int8 is removed, unless nothing else is in int8."""
    runs: list[Any] = [run for name in dict.fromkeys(formats) for run in _runs(name, int8)]
    limits = dict.fromkeys(runs, classifier.limits) if classifier.limits else {}
    about = Export(runs=tuple(runs), limits=limits, checks={})
    _write_config(classifier, about, folder)
    checks: dict[str, Check] = {}
    refused: dict[str, ModelError] = {}
    for run in runs:
        try:
            if limits and sample.labels and not run.endswith("float32"):
                limits[run] = fit_limits(folder, run, sample)
                _write_config(classifier, about.model_copy(update={"limits": limits}), folder)
            check = verify(classifier, folder, run, sample)
            if not run.endswith("float32"):
                check = check_faster(check, folder, run, sample.sources)
        except ModelError as error:
            if run.endswith("float32"):
                raise
            refused[run] = error
            continue
        checks[run] = check
    without_int8 = [run for run in refused if run.endswith("int8")]
    if len(without_int8) == len(set(formats)):
        raise refused[without_int8[0]]
    for reason in refused.values():
        log.warning("%s", reason)
    for run in without_int8:
        remove_graphs(folder, run)
    described = {run: check.to_dict() for run, check in checks.items()}
    limits = {run: limits[run] for run in checks if limits}
    kept = {"runs": tuple(checks), "limits": limits, "checks": described}
    about = about.model_copy(update=kept)
    _write_config(classifier, about, folder)
    return checks


def _runs(name: str, int8: bool) -> list[str]:
    """In float32, in bf16 where OpenVINO has it on this processor, and in int8 if asked for."""
    precisions = ["float32"]
    if name == "openvino":
        from foodvision.backends.openvino import HAS_BF16

        precisions += ["bf16"] if HAS_BF16 else []
    return [f"{name}/{precision}" for precision in [*precisions, *(["int8"] if int8 else [])]]


def _write_config(classifier: TorchClassifier, about: Export, folder: Path) -> None:
    config = classifier.to_config()
    if classifier.folder and (classifier.folder / CONFIG).exists():
        # The licence on its own card as well: that of an export says nothing of it.
        origin = licence_of(classifier.folder).origin
        config[KEY]["origin"] = origin.model_dump() if origin else None
    config[KEY]["export"] = about.model_dump(mode="json")
    if any(run.startswith("onnx/") for run in about.runs):
        precision = "q8" if "onnx/int8" in about.runs else "fp32"
        config["transformers.js_config"] = {"dtype": precision, "use_external_data_format": True}
        if config["model_type"] == KEY:
            # transformers.js refuses types that it has no class for. It runs the graph of each
            # alike, and reads no further; ours finds the network under "network".
            config["model_type"] = "vit"
    write_json(folder / CONFIG, config)


def _no_preprocessing() -> dict[str, Any]:
    """For transformers.js: the graph prepares its images itself, and better."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "feature_extractor_type": "ViTFeatureExtractor",
        "do_convert_rgb": True,
        "do_resize": False,
        "do_center_crop": False,
        "do_rescale": False,
        "do_normalize": False,
    }
