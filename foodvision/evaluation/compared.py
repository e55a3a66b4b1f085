"""One classifier of a comparison: what was measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foodvision.evaluation.speed import Speed


@dataclass(frozen=True)
class ComparedModel:
    """A classifier on the test images that all of them could open.

    Attributes:
        name: short, and different for each.
        classes: number of classes it chooses from, which may be more than the images have.
        log_loss: in nats, over all of these classes.
        log_loss_ci95: percentile interval of the bootstrap over images.
        accuracy: in 0-1.
        accuracy_ci95: Wilson's interval.
        parameters: number of weights.
        trained: number of weights that its last run trained; None if the model does not say.
        mb: megabytes (10⁶ bytes) of model.safetensors.
        speeds: one for each device.
        overlap: how many of the images it was trained on or chosen by, as `Report.overlap`.

    """

    name: str
    classes: int
    log_loss: float
    log_loss_ci95: tuple[float, float]
    accuracy: float
    accuracy_ci95: tuple[float, float]
    parameters: int
    trained: int | None
    mb: float
    speeds: Sequence[Speed]
    overlap: str

    def figures(self) -> dict[str, Any]:
        """All numbers by name, flat: the columns of a CSV file."""
        figures: dict[str, Any] = {
            "log_loss": self.log_loss,
            "log_loss_low": self.log_loss_ci95[0],
            "log_loss_high": self.log_loss_ci95[1],
            "accuracy": self.accuracy,
            "accuracy_low": self.accuracy_ci95[0],
            "accuracy_high": self.accuracy_ci95[1],
            "parameters": self.parameters,
            "trained": self.trained,
            "mb": self.mb,
        }
        for speed in self.speeds:
            figures |= {
                f"{speed.device}_seconds_p50": speed.seconds_p50,
                f"{speed.device}_seconds_p95": speed.seconds_p95,
                f"{speed.device}_images_per_second": speed.images_per_second,
            }
        return figures

    def ratios(self, reference: ComparedModel) -> dict[str, float | None]:
        """Each figure divided by that of another model; None where that one's is 0."""
        wanted = ("log_loss", "accuracy", "parameters", "mb")
        below = reference.figures()
        return {
            name: value / below[name] if below[name] else None
            for name, value in self.figures().items()
            if name in wanted or name.endswith(("_p50", "_per_second"))
        }
