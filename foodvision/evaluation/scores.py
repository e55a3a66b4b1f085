"""What an evaluation finds: metrics of one split, one row per image, and where both come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from foodvision.classifier.info import ModelInfo
from foodvision.data import LabelledImages
from foodvision.metrics import Metrics
from foodvision.text import printable


@dataclass(frozen=True)
class ScoredImage:
    """One row of predictions.csv: class names, probability of the predicted one, log loss in nats.

    `seen` is ``train`` or ``validation`` if the image was in that split of the model's run.
    `probabilities` are those of all classes, in the order of `Metrics.classes`.
    """

    name: str
    true: str
    predicted: str
    probability: float
    log_loss: float
    seen: str
    probabilities: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True)
class Uncalibrated:
    """What the same images say of the model without its temperature: log loss, ECE and its bins."""

    temperature: float
    log_loss: float
    ece: float
    reliability: list[dict[str, float]]


@dataclass(frozen=True)
class Source:
    """Where scores come from.

    Attributes:
        images: those of `Scores.images`, in their order, not opened.
        folder: of the model; None if it has never been saved.
        network: one line.
        info: how the model was trained.
        precision: that the images were scored in.
        backend: that scored them, see `Classifier.backend`.

    """

    images: LabelledImages
    folder: Path | None
    network: str
    info: ModelInfo
    precision: str
    backend: str


@dataclass(frozen=True)
class Scores(Metrics):
    """`Metrics` of one split, with the images behind them.

    Attributes:
        data: name of the dataset.
        split: name of the split.
        unreadable: images that could not be opened, with the reason; n does not count them.
        trained_on: number of these images that the model was trained on; None if unknown.
        chosen_by: number of these images that its run chose the best model by; None if unknown.
        unseen: the metrics of all other images; None if there are none, or if unknown.
        uncalibrated: None if the model has no temperature.
        images: every scored image, in the order of the dataset.
        source: the model and the image files.

    """

    data: str
    split: str
    unreadable: list[str]
    trained_on: int | None
    chosen_by: int | None
    unseen: Metrics | None
    uncalibrated: Uncalibrated | None
    images: list[ScoredImage] = field(repr=False)
    source: Source = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, without `images`; of `source`, what computed."""
        kept = asdict(replace(self, images=[], source=None))  # type: ignore[arg-type]
        kept = {key: value for key, value in kept.items() if key not in ("images", "source")}
        return kept | {"backend": self.source.backend, "precision": self.source.precision}

    def overlap(self) -> str:
        """Why the result is too good, as in "trained on 90 and chosen by 12"; empty if it is not.

        Whoever evaluates the train or the validation split knows what these images were used for.
        """
        trained = 0 if self.split == "train" else self.trained_on
        chosen = 0 if self.split in ("train", "validation") else self.chosen_by
        counts = {"trained on": trained, "chosen by": chosen}
        return " and ".join(f"{how} {n}" for how, n in counts.items() if n)

    def summary(self) -> str:
        """The metrics as text, a line for each class."""
        classes = [printable(name) for name in self.classes]
        width, (low, high) = max(map(len, classes)), self.accuracy_ci95
        lines = [
            f"{self.split} of {printable(self.data)}: n = {self.n}",
            f"log loss   {self.log_loss:.4f}",
            f"accuracy   {self.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})",
            f"ECE        {self.ece:.3f}",
            f"{'':<{width}}  precision  recall      F1      n",
        ]
        if overlap := self.overlap():
            lines[0] += f", of which the model was {overlap}"
            lines.insert(1, f"the others: {self.unseen or 'none'}")
        for name, row in zip(classes, self.per_class.values(), strict=True):
            lines.append(
                f"{name:<{width}}  {row['precision']:>9.1%}  {row['recall']:>6.1%}  "
                f"{row['f1']:>6.1%}  {row['n']:>5}"
            )
        return "\n".join(lines)
