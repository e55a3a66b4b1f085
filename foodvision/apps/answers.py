"""What a classifier answers to many visitors at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from foodvision.apps.batcher import MAX_BATCH, Batcher
from foodvision.apps.gpu import Gpu, on_gpu
from foodvision.apps.workers import Workers
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.predict import Prediction
from foodvision.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_SIDE = 384
"""Pixels of the shorter side of an overlay, at least: some networks see 64."""


class Look(NamedTuple):
    """What a network looked at; see `Explanation`."""

    overlay: Image
    method: str
    label: str


class Answers:
    """A classifier as its app uses it; all methods may be called from several threads.

    Args:
        classifier: any.
        gpu: see `space.serve`.
        workers: processes that answer in place of this one; not with a `gpu`.

    Attributes:
        at_once: requests that are best answered at a time.

    """

    def __init__(
        self, classifier: Classifier, gpu: Gpu | None = None, workers: Workers | None = None
    ) -> None:
        self.classifier = classifier
        number = workers.number if workers else 1
        self.at_once = 2 * MAX_BATCH * number

        def answer_many(sources: Sequence[str | bytes]) -> list[Prediction]:
            if workers:
                return workers.answer_many(sources, MAX_BATCH)
            return list(classifier.predict_many(sources, MAX_BATCH))

        self._answer_many = on_gpu(answer_many, gpu)
        # ZeroGPU lends its GPU to the visitor who asks, so nobody asks for others there.
        self._answer = Batcher(self._answer_many, number) if gpu is None else self._answer_one
        self._look = on_gpu(self._compute_look, gpu)

    @property
    def explains(self) -> bool:
        """Whether it can look into its network; exported graphs give answers alone."""
        return self.classifier.backend == "torch"

    def predict(self, source: str | bytes) -> Prediction:
        """Classify an image, together with those that others are waiting for.

        Raises:
            ImageError: if it cannot be opened.

        """
        prediction = self._answer(source)
        if prediction.error:
            raise ImageError(prediction.path, prediction.error)
        return prediction

    def predict_many(self, paths: Sequence[str]) -> list[Prediction]:
        """Classify images in their order, each called by the name of its file."""
        answers: list[Prediction] = []
        for first in range(0, len(paths), MAX_BATCH):  # ZeroGPU lends its GPU for some seconds
            answers += self._answer_many(paths[first : first + MAX_BATCH])
        return [
            replace(answer, path=Path(path).name)
            for path, answer in zip(paths, answers, strict=True)
        ]

    def _answer_one(self, source: str | bytes) -> Prediction:
        return self._answer_many([source])[0]

    def explain(self, source: str | bytes) -> Look:
        """The image, with what the network looked at laid over it.

        Raises:
            ImageError: if it cannot be opened.

        """
        return self._look(source)

    def _compute_look(self, source: str | bytes) -> Look:
        from PIL import Image

        from foodvision.explanation import explain
        from foodvision.plots import overlay

        found = explain(self.classifier, source)  # type: ignore[arg-type]
        image = Image.fromarray(overlay(found.image, found.map))
        scale = max(1, MIN_SIDE / min(image.size))
        image = image.resize((round(image.width * scale), round(image.height * scale)))
        return Look(image, found.method, found.label)
