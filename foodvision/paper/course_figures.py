"""The course's own figures, to stand beside ours: what its two notebooks and chapters printed.

They are those of learnpytorch.io, chapters 08 (paper replicating) and 09 (model deployment), and of
the exercises and solutions that belong to them. Plain data; no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["vit", "vit_384", "cnn"]
"""Which of the weights at hand an experiment takes: a ViT's, those of a ViT at 384 px or more, or
those of any other network."""

MINI = ("pizza", "steak", "sushi")
BATCH_SIZE = 32
"""Images of a batch in the course's training and testing."""


def _counts(pizza: int, steak: int, sushi: int) -> Mapping[str, int]:
    return {"pizza": pizza, "steak": steak, "sushi": sushi}


TRAIN = {"10 %": _counts(75, 75, 75), "20 %": _counts(154, 146, 150)}
"""Training images per class; the course's 225 are 78, 75 and 72, drawn at random."""
TEST = {"10 %": _counts(25, 19, 31), "20 %": _counts(46, 58, 46)}
"""Test images per class, the course's."""
BIG_CLASSES, BIG_TRAIN, BIG_TEST = 101, 150, 50
"""Food-101's classes, and images of each in the course's 20 %."""


@dataclass(frozen=True)
class Score:
    """What the course printed after its last epoch.

    Attributes:
        log_loss: on its test images, a mean of batch means.
        accuracy: on its test images, a mean of batch means, in 0-1.
        n: test images.
        right: test images that it had right, which `accuracy` implies; None if it does not.

    """

    log_loss: float
    accuracy: float
    n: int
    right: int | None = None


@dataclass(frozen=True)
class Start:
    """The weights that an experiment starts from: which `Kind`, and which exactly."""

    kind: Kind
    weights: str


@dataclass(frozen=True)
class Original:
    """An experiment of the course that ends in a test loss and an accuracy.

    Attributes:
        name: for the command line.
        what: a few words.
        train: the share of its training images, a key of `TRAIN`; of 101 classes always 20 %.
        test: the share of its test images, a key of `TEST`.
        score: what it printed.
        start: None from scratch.
        big: whether it is about 101 classes.

    """

    name: str
    what: str
    train: str
    test: str
    score: Score
    start: Start | None = None
    big: bool = False

    @property
    def training(self) -> str:
        """How the course trains the head of pretrained weights, in a few words."""
        if self.big:
            return "the course: five epochs of Adam at 1e-3, TrivialAugment, label smoothing 0.1"
        return "the course: ten epochs of Adam at 1e-3"


SCRATCH_COURSE = "scratch_course"

_B16 = Start("vit", "torchvision:vit_b_16/IMAGENET1K_V1")
_SWAG = Start("vit_384", "torchvision:vit_b_16/IMAGENET1K_SWAG_E2E_V1")
_B2 = Start("cnn", "torchvision:efficientnet_b2/IMAGENET1K_V1")
_SCRATCH = Score(1.2389, 0.2604, 75, 25)
_FROZEN_10, _FROZEN_20 = Score(0.1804, 0.9176, 75, 69), Score(0.1877, 0.9280, 75, 70)
_EFFNETB2, _VIT = Score(0.2813, 0.96875, 150, 145), Score(0.0644, 0.98466, 150, 148)
_BIG_EFFNETB2, _BIG_VIT = Score(2.2799, 0.5810, 5050), Score(1.8293, 0.7090, 5050)

ORIGINALS = (
    Original(SCRATCH_COURSE, "ViT-B/16 from scratch", "10 %", "10 %", _SCRATCH),
    Original("scratch", "ViT from scratch, our recipe", "10 %", "10 %", _SCRATCH),
    Original("frozen_10", "frozen ViT-B/16", "10 %", "10 %", _FROZEN_10, _B16),
    Original("frozen_20", "frozen ViT-B/16", "20 %", "10 %", _FROZEN_20, _B16),
    Original("swag_384", "frozen SWAG", "20 %", "10 %", Score(0.0405, 0.9792, 75, 73), _SWAG),
    Original("effnetb2_20", "frozen EfficientNet-B2", "20 %", "20 %", _EFFNETB2, _B2),
    Original("vit_20", "frozen ViT-B/16", "20 %", "20 %", _VIT, _B16),
    Original(
        "big_effnetb2", "EfficientNet-B2, 101 classes", "20 %", "20 %", _BIG_EFFNETB2, _B2, True
    ),
    Original("big_vit", "ViT-B/16, 101 classes", "20 %", "20 %", _BIG_VIT, _B16, True),
)
"""In the order of the notebooks."""

SCRATCH_WHY, SIZES, SPEED = "scratch_why", "sizes", "speed"
EXPERIMENTS = (*(original.name for original in ORIGINALS), SCRATCH_WHY, SIZES, SPEED)
"""All names for the command line."""

PARAMETERS = {
    "one encoder layer": 7_087_872,
    "twelve encoder layers": 85_054_464,
    "ViT-B/16, 3 classes": 85_800_963,
    "ViT-B/16, 1,000 classes": 86_567_656,
    "ViT-B/16 at 384 px, 3 classes": 86_094_339,
    "EfficientNet-B2, 3 classes": 7_705_221,
    "EfficientNet-B2's head, 3 classes": 4_227,
    "EfficientNet-B2, 101 classes": 7_843_303,
    "EfficientNet-B2's head, 101 classes": 142_309,
}
MB = {"ViT-B/16, 3 classes": 327, "EfficientNet-B2, 3 classes": 29}
"""Of the files of weights; its MB are 2²⁰ bytes, rounded down."""
SECONDS = {"EfficientNet-B2": 0.0269, "ViT-B/16": 0.0641}
"""For one image on the CPU of chapter 09's author, from opening the file to the probabilities."""
