"""What a model is, as plain data: kept in its config.json, and read from there without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import safe_open

from foodvision.errors import ModelError
from foodvision.text import to_json
from foodvision.weights.repository import (
    CONFIG,
)

KEY = "foodvision"
"""Of config.json: where what transformers has no word for is kept."""

Count = Annotated[int, Field(ge=0, lt=10**15)]
Share = Annotated[float, Field(ge=0, le=1)]
Run: TypeAlias = Literal[
    "onnx/float32", "onnx/int8", "openvino/float32", "openvino/bf16", "openvino/int8"
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, use_attribute_docstrings=True)


class Measured(_Part):
    """The headline figures on the validation images; all others are in metrics.json."""

    n: Count
    """Images."""
    log_loss: Annotated[float, Field(ge=0)]
    """In nats."""
    accuracy: Share
    """In 0-1."""
    accuracy_ci95: tuple[Share, Share]
    """Wilson's interval."""
    ece: Share
    """Expected calibration error, in 0-1."""
    precision: str
    """Of the network's arithmetic: float32 or bf16."""
    chosen: str
    """What the same images chose, so that the figures are a little too good."""


class Pretraining(_Part):
    """How well a network without a head predicts what is hidden of the validation images."""

    n: Count
    """Images."""
    patches: Count
    """Hidden patches of these."""
    log_loss: Annotated[float, Field(ge=0)]
    """Of their colours, in nats; a guess has ln 512 = 6.24."""
    accuracy: Share
    """Share of the patches whose colour is the most probable one, in 0-1."""

    def __str__(self) -> str:
        return (
            f"log loss {self.log_loss:.4f} · accuracy {self.accuracy:.1%} of the colours of "
            f"{self.patches:,} hidden patches, n = {self.n} images"
        )


class Calibration(_Part):
    """Temperature scaling (Guo et al., 1706.04599), folded into the head: W/T and b/T.

    Multiplied by the temperature, the model's logits are those from before.
    """

    temperature: Annotated[float, Field(gt=0)]
    """T; above 1, the network was too sure of itself."""
    n: Count
    """Validation images that T was fitted on."""
    log_loss_before: Annotated[float, Field(ge=0)]
    """Of these images, in nats."""
    log_loss_after: Annotated[float, Field(ge=0)]
    ece_before: Share
    ece_after: Share


class TrainingData(_Part):
    """The images a model was trained on."""

    name: str
    train: Count
    """Images to learn from."""
    validation: Count
    """Images to choose by."""
    unreadable: Count
    """Images that could not be opened."""
    fingerprint: str
    """SHA-256 over the bytes and classes of the training images, in any order; of a stream, over
    the names of its files, their rows and classes."""


class Origin(_Part):
    """Pretrained weights that a model learnt from."""

    weights: str
    """Where they came from, without the folders of a machine."""
    licence: str | None
    """Name or address; None if their publisher states none."""


class TeacherInfo(_Part):
    """The classifier whose answers a model was trained on, beside the labels."""

    name: str
    """Of its folder, or its Hub id."""
    network: str
    """As a noun phrase without an article."""
    sha256: str
    """Of its weights and their description."""
    origins: list[Origin]
    """The weights that it began with, and those of its own teachers; empty if from scratch."""


class ModelInfo(_Part):
    """What is known of a model beside its network, `ImageSpec` and classes."""

    parameters: Count | None = None
    """Number of weights."""
    metrics: Measured | None = None
    pretraining: Pretraining | None = None
    """Of a network without a head, which has no metrics."""
    data: TrainingData | None = None
    training: str | None = None
    """How it was trained, in a few words."""
    recipe: dict[str, Any] = {}
    """Every setting of the run, see `foodvision.training.recipe`; empty if there was none."""
    start: str | None = None
    """SHA-256 of the pretrained weights it began with; None when trained from scratch."""
    origin: Origin | None = None
    """The same weights, or earlier ones whose licence holds; None when trained from scratch."""
    origins_of_teachers: list[Origin] = []
    """What the teachers of these weights learnt from."""
    teacher: TeacherInfo | None = None
    """None if it learnt from labels alone."""
    versions: dict[str, str] = {}
    """Of the libraries that trained it."""
    calibration: Calibration | None = None
    """None until it is calibrated."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ModelInfo:
        """Read what a config.json says; nothing if another library wrote it.

        Raises:
            ModelError: naming the field that is damaged.

        """
        try:
            return cls.model_validate_json(to_json(config.get(KEY) or {}))
        except ValidationError as error:
            raise ModelError(_first_of(error, CONFIG, KEY)) from error


class Export(_Part):
    """What an exported folder has in addition, under ``export``."""

    runs: Annotated[tuple[Run, ...], Field(min_length=1)]
    """Folder and precision of each graph."""
    limits: dict[str, tuple[Share, float]]
    """Of each graph, the lowest probability of a sure answer and the largest distance of an image
    that it knows; empty if the classifier does not say when it is not sure."""
    checks: dict[str, dict[str, Any]]
    """Of each graph: how it was compared with the network, and what was found."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Export:
        """Read what the config.json of an exported folder says.

        Raises:
            ModelError: naming the field that is damaged.

        """
        try:
            return cls.model_validate_json(to_json(config[KEY]["export"]))
        except ValidationError as error:
            raise ModelError(_first_of(error, CONFIG, f"{KEY}.export")) from error


def is_export(config: dict[str, Any]) -> bool:
    """Whether a config.json is that of an exported folder."""
    return isinstance(config.get(KEY), dict) and "export" in config[KEY]


class Belongs(_Part):
    """Which weights an unsure.safetensors was fitted to; kept in its header.

    Because kill -9 may leave it with the weights, or these with the config.json, of before.
    """

    head: str
    """SHA-256 of the head's tensors."""
    calibration: Calibration | None

    @classmethod
    def read(cls, path: Path) -> Belongs:
        """Read the header of the file.

        Raises:
            ModelError: naming the field that is damaged.

        """
        with safe_open(path, framework="numpy") as tensors:
            recorded = (tensors.metadata() or {}).get(KEY, "{}")
        try:
            return cls.model_validate_json(recorded)
        except ValidationError as error:
            raise ModelError(_first_of(error, path.name, KEY)) from error


def _first_of(error: ValidationError, file: str, key: str) -> str:
    first = error.errors()[0]
    return f"{file}: {'.'.join(map(str, (key, *first['loc'])))}: {first['msg']}"
