"""Is an exported graph equal to the network? Measured before it is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.special import softmax

from foodvision.backends.runs import THREADS, graph_file
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.exported import ExportedClassifier
from foodvision.classifier.predict import Prediction
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ModelError
from foodvision.evaluation.unsure import limits
from foodvision.images.decode import ImageSource, open_image
from foodvision.images.pixels import read_pixels
from foodvision.images.transforms import prepare
from foodvision.progress import progress_bar

MAX_DIFFERENCE = 2e-3
"""Of probabilities, between torch and a graph in float32."""

MAX_LOSS = 0.01
"""By which int8 or bf16 may worsen the log loss, in nats."""

MIN_AGREEMENT = 0.9
"""Of their answers with the network's."""

BATCHES = (1, 2, 7)
TIMED = 10
"""Images by which int8 and bf16 must be faster than float32."""


@dataclass(frozen=True)
class Sample:
    """What a graph is checked on.

    Attributes:
        name: as in ``validation of photos``.
        sources: images that can be opened.
        labels: the class of each; None for drawings, whose classes the classifier may not know.

    """

    name: str
    sources: Sequence[ImageSource]
    labels: Sequence[str] | None


@dataclass(frozen=True)
class Check:
    """A graph beside the network that it was exported from.

    Attributes:
        images: what they were compared on.
        n: their number.
        max_difference: of the probabilities, in 0-1.
        max_batch_difference: the same in batches of `BATCHES` images.
        agreement: share of images with the same answer, in 0-1.
        sure_agreement: share with the same `sure`, in 0-1; None if neither says. The limits of a
            graph in int8 or bf16 were fitted to these images, if they have labels.
        log_loss_before: of the network, in nats; None without labels.
        log_loss_after: of the graph.
        ms: median milliseconds from file to answer in int8 or bf16, on the exporting machine.
        ms_float32: the same of the graph in float32, in turns.

    """

    images: str
    n: int
    max_difference: float
    max_batch_difference: float
    agreement: float
    sure_agreement: float | None
    log_loss_before: float | None
    log_loss_after: float | None
    ms: float | None = None
    ms_float32: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for config.json."""
        return asdict(self)

    def summary(self) -> str:
        """One line."""
        text = (
            f"largest difference of probabilities {self.max_difference:.1e} (in batches "
            f"{self.max_batch_difference:.1e}), same answers {self.agreement:.1%}"
        )
        if self.sure_agreement is not None:
            text += f", equally sure of {self.sure_agreement:.1%}"
        if self.log_loss_before is not None:
            text += f", log loss {self.log_loss_before:.4f} → {self.log_loss_after:.4f}"
        if self.ms is not None:
            text += f", {self.ms_float32:.1f} → {self.ms:.1f} ms"
        return f"{text}, n = {self.n} ({self.images})"


def verify(classifier: TorchClassifier, folder: Path, run: str, sample: Sample) -> Check:
    """Compare a graph with its network.

    Args:
        classifier: that was exported.
        folder: of the export.
        run: as in ``onnx/int8``.
        sample: see `Sample`.

    Raises:
        ModelError: with the figures, if they differ too much.

    """
    exported = ExportedClassifier.read(folder, run)
    before, after = _answers(classifier, sample, "torch"), _answers(exported, sample, run)
    losses = [
        None if sample.labels is None else _log_loss(answers, sample.labels)
        for answers in (before, after)
    ]
    pairs = list(zip(before, after, strict=True))
    check = Check(
        images=sample.name,
        n=len(before),
        max_difference=max(
            abs(a.probabilities[name] - b.probabilities[name])
            for a, b in pairs
            for name in classifier.classes
        ),
        max_batch_difference=_compare_batches(classifier, folder, run, sample.sources),
        agreement=float(np.mean([a.label == b.label for a, b in pairs])),
        sure_agreement=float(np.mean([a.sure == b.sure for a, b in pairs]))
        if classifier.limits
        else None,
        log_loss_before=losses[0],
        log_loss_after=losses[1],
    )
    if run.endswith("float32"):
        drifted = max(check.max_difference, check.max_batch_difference) > MAX_DIFFERENCE
    else:
        worse = (losses[1] or 0) - (losses[0] or 0)
        drifted = worse > MAX_LOSS or check.agreement < MIN_AGREEMENT
    if drifted or not np.isfinite(check.max_difference):
        raise ModelError(f"{run} is not equal to the network, and was not kept: {check.summary()}")
    return check


def fit_limits(folder: Path, run: str, sample: Sample) -> tuple[float, float]:
    """Fit the limits of a sure answer to this graph, as they were fitted to its network.

    Rounded activations are further from those of training images: by the network's limits, most
    answers of a graph in int8 can be unsure.

    Args:
        folder: of the export.
        run: as in ``onnx/int8``.
        sample: validation images.

    """
    exported = ExportedClassifier.read(folder, run)
    rows = np.array([exported.judge(read_pixels(each, exported.spec)) for each in sample.sources])
    return limits(softmax(rows[:, :-1], axis=1).max(axis=1), rows[:, -1])


def check_faster(check: Check, folder: Path, run: str, sources: Sequence[ImageSource]) -> Check:
    """Time a run in int8 or bf16 and the one in float32 in turns.

    Returns:
        The check with both times.

    Raises:
        ModelError: with the figures, if it is not faster.

    """
    than = f"{run.partition('/')[0]}/float32"
    graphs = [ExportedClassifier.read(folder, name) for name in (run, than)]
    seconds: list[list[float]] = [[], []]
    for source in (sources[0], *sources[:TIMED]):
        for taken, graph in zip(seconds, graphs, strict=True):
            started = time.perf_counter()
            graph.predict(source)
            taken.append(time.perf_counter() - started)
    fast, slow = (1000 * float(np.median(taken[1:])) for taken in seconds)
    if fast >= slow:
        raise ModelError(
            f"{run} is not faster here, and was not kept: {fast:.1f} ms per image, {than} "
            f"{slow:.1f} ms; {check.summary()}"
        )
    return replace(check, ms=fast, ms_float32=slow)


def _answers(classifier: Classifier, sample: Sample, name: str) -> list[Prediction]:
    answers = []
    with progress_bar() as bar:
        task = bar.add_task(f"checking {name}", total=len(sample.sources), unit="images", info="")
        for prediction in classifier.predict_many(sample.sources):
            answers.append(prediction)
            bar.advance(task)
    return answers


def _log_loss(answers: Sequence[Prediction], labels: Sequence[str]) -> float:
    p = [answer.probabilities[label] for answer, label in zip(answers, labels, strict=True)]
    return float(-np.log(p).mean())


def _compare_batches(
    classifier: TorchClassifier, folder: Path, run: str, sources: Sequence[ImageSource]
) -> float:
    """The largest difference of probabilities in batches."""
    graph = _open_batches(folder, run)
    differences = []
    for size in BATCHES:
        pixels = np.stack([of_one_size(sources[i % len(sources)]) for i in range(size)])
        logits = graph(pixels.transpose(0, 3, 1, 2).astype(np.float32))
        found = torch.from_numpy(logits).softmax(dim=1).numpy()
        differences.append(float(np.abs(found - shares_of(classifier, pixels)).max()))
    return max(differences)


def of_one_size(source: ImageSource) -> UInt8[np.ndarray, "h w 3"]:
    """An image as one of a batch."""
    return np.array(open_image(source).resize((400, 300), Image.Resampling.BICUBIC))


@torch.inference_mode()
def shares_of(
    classifier: TorchClassifier, pixels: UInt8[np.ndarray, "B h w 3"]
) -> Float[np.ndarray, "B K"]:
    """The network's probabilities for images that are already decoded."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    x = torch.stack([prepare(image, classifier.spec) for image in images])
    logits = classifier.network(x.to(classifier.device)).float().cpu()
    return logits.softmax(dim=1).numpy()


def _open_batches(
    folder: Path, run: str
) -> Callable[[Float[np.ndarray, "B 3 h w"]], Float[np.ndarray, "B K"]]:
    path = graph_file(folder, run, "model")
    if run.startswith("onnx/"):
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda x: session.run(["logits"], {"pixel_values": x})[0]
    from foodvision.backends.openvino import compiled

    model = compiled(path, run.split("/")[1], THREADS)
    return lambda x: model(x)["logits"]
