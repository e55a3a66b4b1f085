"""The course's ViT from scratch: how often it answers each class after every epoch.

Training and test images and a recipe come in; what the network answers after every epoch goes out.
The course's ten test accuracies take only the values 0.5417, 0.2604 and 0.1979. With 25 pizzas, 19
steaks and 31 sushis in batches of 32, these are the means of batch means of a network that answers
sushi, pizza or steak to everything.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foodvision.backends.device import choose_device, decide_precision, keep_freed_memory
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.data import Dataset, LabelledImages
from foodvision.errors import ImageError
from foodvision.metrics import log_loss_of_each
from foodvision.paper.course_figures import BATCH_SIZE
from foodvision.paper.course_score import BothWays, count_both_ways
from foodvision.progress import duration, progress_bar
from foodvision.training.accelerator import build_accelerator, run_processes
from foodvision.training.epoch import Epoch
from foodvision.training.loop import Training
from foodvision.training.recipe import Recipe
from foodvision.training.start import starting_point

log = logging.getLogger(__name__)

CHANGES: dict[str, dict[str, Any]] = {
    "warm-up": {"warmup_fraction": 0.3},
    "clipping": {"clip_norm": 1.0},
    "decoupled decay": {"optimizer": "adamw"},
    "all three": {"warmup_fraction": 0.3, "clip_norm": 1.0, "optimizer": "adamw"},
}
"""What the paper's training has and the course's has not, as changes to the course's recipe."""


@dataclass(frozen=True)
class AnswersAfterEpoch:
    """What a network answers to the test images after an epoch.

    Attributes:
        epoch: 1 for the first.
        train_loss: mean cross-entropy of the epoch's batches.
        score: on the test images.
        answers: number of test images by predicted class.

    """

    epoch: int
    train_loss: float
    score: BothWays
    answers: dict[str, int]

    def __str__(self) -> str:
        given = ", ".join(f"{name} {count} times" for name, count in self.answers.items() if count)
        return f"epoch {self.epoch} answers {given}; log loss {self.score.log_loss:.4f}"

    @property
    def only(self) -> str | None:
        """The class, if all images get the same one."""
        given = [name for name, count in self.answers.items() if count]
        return given[0] if len(given) == 1 else None


def answers_by_epoch(dataset: Dataset, recipe: Recipe, device: str) -> list[AnswersAfterEpoch]:
    """Train on all training images, and look at the test images after every epoch.

    As in the course, no images are held out for validation. A run of `train` chooses its best
    epoch by validation images and never opens the test split; this one chooses nothing.

    Args:
        dataset: with a training and a test split.
        recipe: trains from scratch.
        device: see `choose_device`.

    Raises:
        FoodvisionError: if the loss is not a finite number.
        ImageError: if an image cannot be opened.

    """
    train, test = dataset.splits["train"], _by_class(dataset.splits["test"])
    target = choose_device(device)
    recipe = recipe.model_copy(update={"precision": decide_precision(recipe.precision, target)})
    keep_freed_memory()
    start, epochs = starting_point(recipe, dataset.classes), list[AnswersAfterEpoch]()
    with (
        run_processes(target),
        torch.random.fork_rng(devices=[target] if target.type == "cuda" else []),
        Training(
            *(start.network, train, test, start.spec, recipe),
            build_accelerator(target, recipe, Path()),  # no tracker writes there
        ) as training,
        progress_bar() as bar,
    ):
        total = recipe.epochs * len(training.loader) * recipe.batch_size
        task = bar.add_task("training", total=total, unit="images", info="")
        for epoch in training.steps():
            bar.advance(task, recipe.batch_size)
            if epoch:
                classifier = TorchClassifier(training.result, start.spec, dataset.classes)
                logits = _logits(classifier, test)
                epochs.append(_answers(epoch, logits, test))
                log.info("%s, in %s", epochs[-1], duration(epoch.seconds))
    return epochs


def _by_class(images: LabelledImages) -> LabelledImages:
    """In the order of the classes, as the course's loader has the test images."""
    return images.subset(np.argsort(images.labels, kind="stable"))


def _logits(classifier: TorchClassifier, images: LabelledImages) -> np.ndarray:
    rows: list[np.ndarray] = []
    for row in classifier.logits([example.source for example in images], BATCH_SIZE):
        if isinstance(row, ImageError):
            raise row
        rows.append(row)
    return np.stack(rows)


def _answers(epoch: Epoch, logits: np.ndarray, test: LabelledImages) -> AnswersAfterEpoch:
    predicted = logits.argmax(axis=1)
    counts = np.bincount(predicted, minlength=len(test.classes)).tolist()
    losses = log_loss_of_each(logits, test.labels)
    return AnswersAfterEpoch(
        epoch.epoch,
        epoch.train_loss,
        count_both_ways(losses.tolist(), (predicted == test.labels).tolist()),
        dict(zip(test.classes, counts, strict=True)),
    )
