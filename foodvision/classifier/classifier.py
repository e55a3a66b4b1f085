"""The thing users hold: a trained network or an exported graph, its `ImageSpec` and class names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from foodvision.backends import Precision
from foodvision.classifier.info import ModelInfo, is_export
from foodvision.classifier.predict import Prediction, answer
from foodvision.errors import ImageError, ModelError
from foodvision.images.decode import ImageSource
from foodvision.images.spec import ImageSpec
from foodvision.models.config import NetworkConfig
from foodvision.rows.row import name_of
from foodvision.weights.box import BOX, GRAPHS
from foodvision.weights.repository import CONFIG, find_model, read_json


class Classifier(ABC):
    """Answers which class an image shows.

    `TorchClassifier` holds a network, `ExportedClassifier` a graph that needs no torch.

    Attributes:
        spec: how an image is prepared for it.
        classes: K names, in the order of the logits.
        info: how it was trained and what was measured.
        folder: where it was loaded from or first saved to; None until then.

    """

    spec: ImageSpec
    classes: tuple[str, ...]
    info: ModelInfo
    folder: Path | None

    @property
    @abstractmethod
    def config(self) -> NetworkConfig:
        """Which network it is."""

    @property
    @abstractmethod
    def device_type(self) -> str:
        """Where it runs: ``cpu``, ``cuda`` or ``mps``."""

    @property
    @abstractmethod
    def backend(self) -> str:
        """What computes: ``torch``, or runtime and precision of a graph, as ``openvino/int8``."""

    @abstractmethod
    def to(self, device: str) -> Classifier:
        """Move it to ``auto``, ``cpu``, ``cuda`` or ``mps``; returns itself.

        Raises:
            FoodvisionError: if it cannot run there.

        """

    @abstractmethod
    def num_bytes(self) -> int:
        """Of the file of weights, or of what it would hold."""

    @abstractmethod
    def logits(
        self,
        sources: Iterable[ImageSource],
        batch_size: int = 32,
        precision: Precision = "float32",
    ) -> Iterator[Float[np.ndarray, " K"] | ImageError]:
        """The logits of each image in float32, or why it cannot be opened, in their order.

        Args:
            sources: see `predict`; a million take no more memory than a hundred.
            batch_size: images at a time.
            precision: of a network; its head is always in float32. An exported graph has its own.

        Raises:
            ValueError: if `batch_size` is not a positive integer.
            ModelError: if the logits of an image are not finite numbers.

        """

    @abstractmethod
    def _judge(self, source: ImageSource) -> Float[np.ndarray, " K1"]:
        """Logits and, in the last place, how unfamiliar the image is (0 if that is unknown)."""

    @abstractmethod
    def _judge_many(
        self, sources: Iterable[ImageSource], batch_size: int
    ) -> Iterator[Float[np.ndarray, " K1"] | ImageError]:
        """The same for each image, or why it cannot be opened, in their order."""

    @property
    @abstractmethod
    def limits(self) -> tuple[float, float] | None:
        """The lowest probability and the largest distance of a sure answer, once calibrated."""

    def predict(self, source: ImageSource) -> Prediction:
        """Classify one image.

        Args:
            source: path, URL, bytes, binary file or PIL image; see `open_image`.

        Raises:
            ImageError: if it cannot be opened.
            ModelError: if the logits are not finite numbers.

        """
        return self._answer(name_of(source), self._judge(source))

    def predict_many(
        self,
        sources: Iterable[ImageSource],
        batch_size: int = 32,
        threshold: float | None = None,
    ) -> Iterator[Prediction]:
        """Classify images as they come, in their order; a bad one has its `error` set.

        Args:
            sources: see `logits`.
            batch_size: images at a time.
            threshold: an answer below this probability, in 0-1, is not sure; None for the
                classifier's own, if it has one.

        Raises:
            ValueError: if `batch_size` is not a positive integer.
            ModelError: as `predict` does.

        """
        names: deque[str] = deque()

        def remembered() -> Iterator[ImageSource]:
            for source in sources:
                names.append(name_of(source))
                yield source

        def answered(result: np.ndarray | ImageError) -> Prediction:
            name = names.popleft()
            if isinstance(result, ImageError):
                return Prediction(name, error=result.reason)
            return self._answer(name, result, threshold)

        return map(answered, self._judge_many(remembered(), batch_size))

    def _answer(
        self, name: str, row: Float[np.ndarray, " K1"], threshold: float | None = None
    ) -> Prediction:
        familiar = True
        if limits := self.limits:
            threshold = limits[0] if threshold is None else threshold
            familiar = bool(row[-1] <= limits[1])
        return answer(name, row[:-1], self.classes, threshold, familiar)

    @classmethod
    def load(
        cls, model: str | Path, device: str = "auto", backend: str | None = None
    ) -> Classifier:
        """Load a folder that foodvision wrote or exported, or that transformers wrote.

        Args:
            model: a folder, a Hub id ``OWNER/NAME``, or ``box``, the classifier that ships with
                foodvision: its graph, on the CPU, unless another device or ``torch`` is named.
            device: see `to`. An exported graph runs on the CPU, and loading it imports no torch.
            backend: see `backend`; None for the fastest here.

        Raises:
            FoodvisionError: if the machine has no such device, or the model no such backend.
            MissingExtraError: if nothing that runs the exported graph is installed.
            ModelError: if there is no such model, foodvision has no network for it, or it is
                damaged.

        """
        try:
            needs_no_torch = backend != "torch" if backend else device in ("auto", "cpu")
            folder = GRAPHS if model == BOX and needs_no_torch else find_model(model)
            if is_export(read_json(folder / CONFIG)):
                from foodvision.classifier.exported import ExportedClassifier

                return ExportedClassifier.read(folder, backend).to(device)

            if backend not in (None, "torch"):
                raise ModelError(f"has no backend {backend}, only torch; export it to have others")
            from foodvision.classifier.torch_classifier import TorchClassifier

            return TorchClassifier.read(folder).to(device)
        except ModelError as error:
            raise ModelError(f"{model}: {error}") from error
