"""The ways to run a model: a network in each precision, each graph of an export."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from foodvision.backends import Precision
from foodvision.backends.runs import THREADS, is_installed
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.info import Export, is_export
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ImageError, MissingExtraError, ModelError
from foodvision.evaluation.speed import BATCH_SIZE
from foodvision.images.decode import ImageSource
from foodvision.images.pixels import read_pixels
from foodvision.images.transforms import open_pixels, prepare
from foodvision.weights.box import BOX, GRAPHS
from foodvision.weights.repository import CONFIG, find_model, read_json

Stage: TypeAlias = Callable[[Any], Any]

log = logging.getLogger(__name__)

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
"""That a network is timed in."""


@dataclass(frozen=True)
class Way:
    """One way to run a model.

    Attributes:
        model: short name.
        run: backend and precision, as in ``torch/bf16``.
        classifier: answers for many images.
        precision: of a network.
        threads: that share the work of one image.
        stages: from an `ImageSource` to the logits, each taking what the one before returned.

    """

    model: str
    run: str
    classifier: Classifier
    precision: Precision
    threads: int
    stages: Mapping[str, Stage]

    def time(self, source: ImageSource) -> dict[str, float]:
        """The seconds of each stage for one image."""
        seconds: dict[str, float] = {}
        value: Any = source
        for name, stage in self.stages.items():
            started = time.perf_counter()
            value = stage(value)
            seconds[name] = time.perf_counter() - started
        return seconds

    def logits(self, sources: Sequence[ImageSource]) -> Iterator[np.ndarray | ImageError]:
        """Of many images."""
        return self.classifier.logits(sources, BATCH_SIZE, self.precision)


def ways_to_run(model: str | Path, name: str, device: str) -> list[Way]:
    """All of them: a classifier's precisions, or the graphs of an export that can run here.

    Args:
        model: a folder, or a Hub id.
        name: what to call it.
        device: of a network; graphs run on the CPU.

    Raises:
        FoodvisionError: if the machine has no such device.
        MissingExtraError: if nothing that runs the graphs is installed.
        ModelError: if there is no such model, or it is damaged.

    """
    try:
        folder = find_model(model)
        if is_export(read_json(folder / CONFIG)):
            return _graphs(name, folder)
        network = TorchClassifier.read(folder).to(device)
    except ModelError as error:
        raise ModelError(f"{model}: {error}") from error
    ways = [_of_network(name, network, precision) for precision in PRECISIONS]
    return [*ways, *(_graphs(name, GRAPHS) if model == BOX else [])]


def _graphs(name: str, folder: Path) -> list[Way]:
    runs = Export.from_config(read_json(folder / CONFIG)).runs
    possible = [run for run in runs if is_installed(run)]
    if not possible:
        raise MissingExtraError("this exported model", "export")
    if missing := [run for run in runs if run not in possible]:
        log.warning("%s: %s left out, as its runtime is not installed", name, ", ".join(missing))
    return [_of_graph(name, ExportedClassifier.read(folder, run)) for run in possible]


def _of_network(name: str, classifier: TorchClassifier, precision: Precision) -> Way:
    @torch.inference_mode()
    def judge(pixels: Tensor) -> np.ndarray:
        row = classifier.judge(pixels[None].to(classifier.device), precision)[0]
        return row.float().cpu().numpy()  # waits for the device

    stages: dict[str, Stage] = {
        "decode": partial(open_pixels, spec=classifier.spec),
        "resize": partial(prepare, spec=classifier.spec),
        "network": judge,
    }
    threads = torch.get_num_threads()
    return Way(name, f"torch/{precision}", classifier, precision, threads, stages)


def _of_graph(name: str, classifier: ExportedClassifier) -> Way:
    stages: dict[str, Stage] = {
        "decode": partial(read_pixels, spec=classifier.spec),
        "network": classifier.judge,
    }
    return Way(name, classifier.run, classifier, "float32", THREADS, stages)
