"""The thing users hold: a network, how it wants its images, and the names of its classes.

On disk it is a folder that is a Hugging Face model repository at the same time: config.json,
model.safetensors, preprocessor_config.json and README.md (the model card). Nothing in it is
pickled, and loading it runs no code from a file.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from scipy.special import softmax
from torch import Tensor

from foodvision.backends.device import (
    Precision,
    autocast,
    choose_device,
    decide_precision,
    in_batches,
)
from foodvision.classifier.card import how_trained, model_card
from foodvision.errors import ImageError, ModelError
from foodvision.files.atomic import replacing
from foodvision.images import ImageSpec
from foodvision.images.decode import ImageSource
from foodvision.models.network import Network
from foodvision.weights.from_repository import read_repository, repository_content
from foodvision.weights.repository import CONFIG, PREPROCESSOR, WEIGHTS, find_repository, read_json

CARD = "README.md"


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        path: where the image came from.
        label: the most probable class; None if the image could not be opened.
        probability: of that class, in 0-1.
        probabilities: of every class, summing to 1, the most probable first.
        sure: whether the classifier is sure; None until it is calibrated.
        error: what is wrong with the image; None if nothing is.

    """

    path: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    sure: bool | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)


class Classifier:
    """A network with its `ImageSpec` and class names.

    Attributes:
        network: from float32 images (B, C, H, W) to logits (B, K); in evaluation mode.
        spec: how an image is prepared for it.
        classes: K names, in the order of the logits.
        metadata: what config.json keeps under ``foodvision`` beside the spec: recipe, validation
            metrics, data fingerprint, versions, calibration.

    """

    def __init__(
        self,
        network: Network,
        spec: ImageSpec,
        classes: Iterable[str],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.network = network.eval()
        self.spec = spec
        self.classes = tuple(classes)
        self.metadata = metadata or {}
        config = network.config
        if len(self.classes) != config.num_classes:
            raise ModelError(f"{len(self.classes)} class names for {config.num_classes} logits")
        if config.input_size != (spec.height, spec.width):
            raise ModelError(f"the network takes {config.input_size} pixels, the spec {spec.size}")

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.network.parameters()).device

    def to(self, device: str) -> Classifier:
        """Move the network to ``auto``, ``cpu``, ``cuda`` or ``mps``; returns itself."""
        self.network.to(choose_device(device))
        return self

    def predict(self, source: ImageSource) -> Prediction:
        """Classify one image.

        Args:
            source: path, URL, bytes, binary file or PIL image; see `open_image`.

        Raises:
            ImageError: if it cannot be opened.

        """
        (logits,) = self.logits([source])
        if isinstance(logits, ImageError):
            raise logits
        return self._answer(_name(source), logits)

    def predict_many(
        self, sources: Iterable[ImageSource], batch_size: int = 32
    ) -> Iterator[Prediction]:
        """Classify images as they come, in their order; a bad one has its `error` set."""
        names: deque[str] = deque()

        def remembered() -> Iterator[ImageSource]:
            for source in sources:
                names.append(_name(source))
                yield source

        for result in self.logits(remembered(), batch_size):
            name = names.popleft()
            if isinstance(result, ImageError):
                yield Prediction(name, error=result.reason)
            else:
                yield self._answer(name, result)

    def logits(
        self,
        sources: Iterable[ImageSource],
        batch_size: int = 32,
        precision: Precision = "float32",
    ) -> Iterator[Float[np.ndarray, " K"] | ImageError]:
        """The logits of each image in float32, or what is wrong with it, in their order.

        Args:
            sources: see `predict`; a million take no more memory than a hundred.
            batch_size: images at a time.
            precision: of the network; its head is in float32 always.

        """

        def compute(pixels: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
            with autocast(decide_precision(precision, self.device), self.device):
                return self.network(pixels)

        return in_batches(compute, sources, self.spec, self.device, batch_size)

    def _answer(self, path: str, logits: Float[np.ndarray, " K"]) -> Prediction:
        probabilities = softmax(logits.astype(np.float64))
        order = np.argsort(-probabilities, kind="stable")
        ranked = {self.classes[i]: float(probabilities[i]) for i in order}
        label = next(iter(ranked))
        return Prediction(path, label, ranked[label], ranked)

    def describe(self) -> str:
        """What it is, as lines to read."""
        config, spec = self.network.config, self.spec
        parameters = sum(weight.numel() for weight in self.network.parameters())
        recipe, metrics = self.metadata.get("recipe"), self.metadata.get("metrics")
        lines = [
            f"network    {config.description}; {parameters:,} parameters",
            f"images   {spec.height} × {spec.width} px, {spec.resize_mode}, {spec.interpolation}",
            f"classes    {len(self.classes)}: {', '.join(self.classes)}",
        ]
        if recipe:
            data = self.metadata["data"]
            lines.append(
                f"training   {data['train']} images of {data['name']}, {how_trained(recipe)}, "
                f"seed {recipe['seed']}"
            )
        if metrics:
            low, high = metrics["accuracy_ci95"]
            lines.append(
                f"measured   on {metrics['n']} validation images: log loss "
                f"{metrics['log_loss']:.4f}, accuracy {metrics['accuracy']:.1%} "
                f"({low:.1%} to {high:.1%})"
            )
        lines.append(f"calibrated {'yes' if self.metadata.get('calibration') else 'no'}")
        return "\n".join(lines)

    def save(self, folder: str | Path) -> None:
        """Write the four files of the model repository.

        A network that transformers can express is saved in its format; any other one with
        ``model_type: "foodvision"`` and our own names, and the model card says so.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config, weights = repository_content(self.network)
        config |= {
            "dtype": "float32",
            "id2label": {str(i): name for i, name in enumerate(self.classes)},
            "label2id": {name: i for i, name in enumerate(self.classes)},
            "foodvision": {"image_spec": self.spec.to_dict(), "calibration": None} | self.metadata,
        }
        with replacing(folder / WEIGHTS) as path:
            save_file(weights, path, metadata={"format": "pt"})
        _write_json(folder / CONFIG, config)
        _write_json(folder / PREPROCESSOR, self.spec.to_preprocessor_config())
        parameters = sum(weight.numel() for weight in self.network.parameters())
        card = model_card(config, self.network.config.kind, parameters)
        with replacing(folder / CARD) as path:
            path.write_text(card, encoding="utf-8")

    @classmethod
    @torch.inference_mode(False)  # or its weights could never be trained
    def load(cls, model: str | Path, device: str = "auto") -> Classifier:
        """Load a folder that we or transformers wrote, or such a repository from the Hub.

        Args:
            model: a folder, or a Hub id ``OWNER/NAME``.
            device: see `to`.

        Raises:
            ModelError: if there is no such model, or it is not one that this network can be.

        """
        try:
            folder = Path(model) if Path(model).is_dir() else find_repository(str(model))
            loaded = read_repository(folder).build()
            if loaded.classes is None:
                raise ModelError(f"{CONFIG}: id2label must name the classes 0, 1, 2, ...")
        except ModelError as error:
            raise ModelError(f"{model}: {error}") from error
        metadata = read_json(folder / CONFIG).get("foodvision") or {}
        metadata.pop("image_spec", None)
        return cls(loaded.network, loaded.spec, loaded.classes, metadata).to(device)


def _name(source: ImageSource) -> str:
    return str(source) if isinstance(source, str | Path) else "<image>"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
