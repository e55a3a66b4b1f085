"""A classifier with a network: what training makes, and evaluation measures.

On disk it is a folder that is a Hugging Face model repository at the same time: config.json,
model.safetensors, preprocessor_config.json, README.md (the model card) and, once it is calibrated,
unsure.safetensors. Nothing in it is pickled, and loading it runs no code from a file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foodvision.backends import Precision
from foodvision.backends.device import autocast, choose_device, decide_precision
from foodvision.backends.torch import in_batches
from foodvision.bounds import check_whole
from foodvision.classifier.card import model_card
from foodvision.classifier.classifier import Classifier
from foodvision.classifier.describe import finetune_command
from foodvision.classifier.files import write_model
from foodvision.classifier.info import KEY, Belongs, ModelInfo
from foodvision.classifier.licence import licence_of
from foodvision.classifier.unsure import Unsure
from foodvision.errors import ImageError, ModelError
from foodvision.images.decode import ImageSource
from foodvision.images.spec import ImageSpec
from foodvision.images.transforms import open_pixels, prepare
from foodvision.models.config import NetworkConfig
from foodvision.models.network import Network
from foodvision.text import list_names, printable
from foodvision.weights.box import BOX
from foodvision.weights.checkpoint import HeadlessError
from foodvision.weights.from_repository import read_repository, repository_content
from foodvision.weights.repository import CONFIG, UNSURE, WEIGHTS, check_distinct, read_json
from foodvision.weights.tensors import sha256_of

log = logging.getLogger(__name__)


class TorchClassifier(Classifier):
    """A network with its `ImageSpec` and class names.

    Attributes:
        network: from float32 images (B, C, H, W) to logits (B, K); in evaluation mode.
        spec: how an image is prepared for it.
        classes: K names, in the order of the logits.
        info: how it was trained and what was measured.
        unsure: decides when an answer is not sure; None until it is calibrated.
        folder: where it was loaded from or first saved to; None until then.

    """

    def __init__(
        self,
        network: Network,
        spec: ImageSpec,
        classes: Iterable[str],
        info: ModelInfo | None = None,
    ) -> None:
        self.folder: Path | None = None
        self.unsure: Unsure | None = None
        self.network = network.eval()
        self.spec = spec
        self.classes = tuple(classes)
        parameters = sum(weight.numel() for weight in network.parameters())
        self.info = (info or ModelInfo()).model_copy(update={"parameters": parameters})
        config = network.config
        if len(self.classes) != config.num_classes:
            raise ModelError(f"{len(self.classes)} class names for {config.num_classes} logits")
        if config.input_size != (spec.height, spec.width):
            raise ModelError(f"the network takes {config.input_size} pixels, the spec {spec.size}")
        check_distinct(self.classes)

    def __repr__(self) -> str:
        """One line: the network, its input, its classes and its device."""
        return printable(
            f"Classifier({self.network.config.description}; {self.spec.height} × "
            f"{self.spec.width} px; {len(self.classes)} classes: {list_names(self.classes)}; "
            f"{self.device})"
        )

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.network.parameters()).device

    @property
    def backend(self) -> str:
        """Always ``torch``."""
        return "torch"

    @property
    def device_type(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""
        return self.device.type

    def to(self, device: str) -> TorchClassifier:
        """Move the network to ``auto``, ``cpu``, ``cuda`` or ``mps``; returns itself."""
        self.network.to(choose_device(device))
        if self.unsure:
            self.unsure.to(choose_device(device))
        return self

    @property
    def config(self) -> NetworkConfig:
        """Which network it is."""
        return self.network.config

    @property
    def limits(self) -> tuple[float, float] | None:
        """The lowest probability and the largest distance of a sure answer, once calibrated."""
        if self.unsure is None:
            return None
        return self.unsure.min_probability, self.unsure.max_distance

    def num_bytes(self) -> int:
        """Of the file of weights, or of the tensors that it would hold."""
        file = self.folder and self.folder / WEIGHTS
        if file and file.exists():
            return file.stat().st_size
        return sum(tensor.nbytes for tensor in self.network.state_dict().values())

    @torch.inference_mode()
    def _judge(self, source: ImageSource) -> Float[np.ndarray, " K1"]:
        pixels = prepare(open_pixels(source, self.spec), self.spec)
        return self.judge(pixels[None].to(self.device))[0].float().cpu().numpy()

    def _judge_many(
        self, sources: Iterable[ImageSource], batch_size: int
    ) -> Iterator[Float[np.ndarray, " K1"] | ImageError]:
        return self._rows(self.judge, sources, batch_size)

    def logits(
        self,
        sources: Iterable[ImageSource],
        batch_size: int = 32,
        precision: Precision = "float32",
    ) -> Iterator[Float[np.ndarray, " K"] | ImageError]:
        """See `Classifier.logits`."""
        decided = decide_precision(precision, self.device)
        return self._rows(lambda x: self._compute(x, decided)[0], sources, batch_size)

    def features(
        self, sources: Iterable[ImageSource], batch_size: int = 32
    ) -> Iterator[Float[np.ndarray, " D"] | ImageError]:
        """What the head reads of each image, in float32; see `logits`."""
        return self._rows(lambda x: self._compute(x, "float32")[1], sources, batch_size)

    def _rows(
        self,
        compute: Callable[[Tensor], Tensor],
        sources: Iterable[ImageSource],
        batch_size: int,
    ) -> Iterator[np.ndarray | ImageError]:
        check_whole("batch_size", batch_size, 1, 1_000_000)
        return in_batches(compute, sources, self.spec, self.device, batch_size)

    def _compute(
        self, pixels: Float[Tensor, "B C H W"], precision: Precision
    ) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B D"]]:
        """Logits and features, in one pass of the network."""
        with autocast(precision, self.device):  # whatever the caller's is
            features = self.network.features(pixels)
            logits = self.network.classify(features)
        if not logits.isfinite().all():
            raise ModelError("the network's logits are not finite numbers: its weights are damaged")
        return logits, features

    def judge(
        self, pixels: Float[Tensor, "B C H W"], precision: Precision = "float32"
    ) -> Float[Tensor, "B K1"]:
        """What `predict` computes of prepared images that are on the network's device.

        Returns:
            Logits and, in the last column, how unfamiliar the image is (0 if that is unknown).

        """
        logits, features = self._compute(pixels, precision)
        distance = self.unsure(features, logits) if self.unsure else logits.new_zeros(len(logits))
        return torch.cat([logits, distance[:, None]], dim=1)

    def to_config(self) -> dict[str, Any]:
        """The content of config.json."""
        network_config, _ = repository_content(self.network)
        return network_config | {
            "dtype": "float32",
            "id2label": {str(i): name for i, name in enumerate(self.classes)},
            "label2id": {name: i for i, name in enumerate(self.classes)},
            KEY: {"image_spec": self.spec.to_dict(), **self.info.model_dump(mode="json")},
        }

    def save(self, folder: str | Path) -> None:
        """Write the files of the model repository.

        What an earlier model left in ``unsure.safetensors`` is replaced or removed. A network that
        transformers can express is saved in its format; any other one with ``model_type:
        "foodvision"`` and foodvision's own names, and the model card says so.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config, tensors = self.to_config(), repository_content(self.network)[1]
        if self.unsure:
            belongs = Belongs(head=self._head_digest(), calibration=self.info.calibration)
            self.unsure.save(folder / UNSURE, {KEY: belongs.model_dump_json()})
        else:
            (folder / UNSURE).unlink(missing_ok=True)
        card = model_card(
            self.info,
            self.classes,
            self.network.config.description,
            self.network.config.family,
            in_transformers=config["model_type"] != KEY,
            says_unsure=self.unsure is not None,
        )
        write_model(folder, config, tensors, self.spec, card)
        self.folder = self.folder or folder

    @classmethod
    def load(
        cls, model: str | Path, device: str = "auto", backend: str | None = None
    ) -> TorchClassifier:
        """As `Classifier.load`; an exported graph is an error, because it holds no network."""
        classifier = super().load(model, device, "torch" if model == BOX else backend)
        if not isinstance(classifier, TorchClassifier):
            raise ModelError(f"{model}: is exported; give the folder that it was exported from")
        return classifier

    @classmethod
    @torch.inference_mode(False)  # or its weights could never be trained
    def read(cls, folder: Path) -> TorchClassifier:
        """Read a folder, onto the CPU.

        Raises:
            ModelError: as `load` does, without the name of the folder.

        """
        try:
            loaded = read_repository(folder).build()
        except HeadlessError as error:
            raise ModelError(
                "has no classes yet, it is a pretrained network without a head; fine-tune it on "
                f"labelled images: {finetune_command(folder)}"
            ) from error
        if loaded.classes is None:
            raise ModelError(f"{CONFIG}: id2label must name the classes 0, 1, 2, ...")
        config = read_json(folder / CONFIG)
        info = ModelInfo.from_config(config)
        if KEY not in config:  # another library's: what is saved of it has its licence
            info = ModelInfo(origin=licence_of(folder).origin)
        classifier = cls(loaded.network, loaded.spec, loaded.classes, info)
        if (folder / UNSURE).exists():
            classifier._read_unsure(folder / UNSURE)
        classifier.folder = folder
        return classifier

    def _read_unsure(self, path: Path) -> None:
        """Take what the file says, unless it was fitted to other weights."""
        head = self.network.head
        unsure, belongs = Unsure.load(path, head.in_features, head.out_features), Belongs.read(path)
        if belongs.head != self._head_digest():
            log.warning("%s: belongs to other weights, and is not used", path)
            return
        self.unsure = unsure
        self.info = self.info.model_copy(update={"calibration": belongs.calibration})

    def _head_digest(self) -> str:
        return sha256_of(self.network.head.state_dict())
