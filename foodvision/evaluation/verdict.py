"""Whether a classifier reaches a goal, and whether the measurements settle it."""

from __future__ import annotations

from dataclasses import dataclass

from foodvision.evaluation.compared import ComparedModel
from foodvision.goals import GOALS


@dataclass(frozen=True)
class Verdict:
    """One goal, one classifier, for `fps` one device.

    Attributes:
        goal: one of `foodvision.goals.GOALS`.
        target: the value to reach.
        model: name of the classifier.
        device: that was timed; None for the other goals.
        value: what was measured.
        interval: where the value lies: the 95 % interval of accuracy or log loss; for `fps` the
            speed at the 95th percentile of seconds, and at the median; None if it is exact.
        met: whether the measured value reaches the target.
        settled: whether all of the interval agrees.

    """

    goal: str
    target: float
    model: str
    device: str | None
    value: float
    interval: tuple[float, float] | None
    met: bool
    settled: bool

    def __str__(self) -> str:
        met = "met" if self.met else "not met"
        if self.goal == "fps":
            slow = self.interval[0] if self.interval else self.value
            rest = "" if self.settled else ": the slowest 5 % of the images do not reach it"
            return f"{met} ({self.value:,.1f} at the median, {slow:,.1f} at p95{rest})"
        if self.goal == "accuracy":
            figures = [f"{figure:.1%}" for figure in (self.value, *(self.interval or ()))]
        else:
            digits = {"log_loss": ".4f", "mb": ",.1f", "parameters": ",.0f"}[self.goal]
            figures = [format(figure, digits) for figure in (self.value, *(self.interval or ()))]
        if not self.interval:
            return f"{met} ({figures[0]})"
        rest = "" if self.settled else ", which does not settle it"
        return f"{met} ({figures[0]}; 95 % interval {figures[1]} to {figures[2]}{rest})"


def judge(goal: str, target: float, model: ComparedModel) -> list[Verdict]:
    """The verdicts on one goal: one, or for `fps` one for each device."""
    if goal == "fps":
        return [
            _verdict(goal, target, model, s.fps, (1 / s.seconds_p95, s.fps), s.device)
            for s in model.speeds
        ]
    intervals = {"accuracy": model.accuracy_ci95, "log_loss": model.log_loss_ci95}
    return [_verdict(goal, target, model, model.figures()[goal], intervals.get(goal))]


def _verdict(
    goal: str,
    target: float,
    model: ComparedModel,
    value: float,
    interval: tuple[float, float] | None,
    device: str | None = None,
) -> Verdict:
    more_is_better = GOALS[goal][0]

    def reached(figure: float) -> bool:
        return figure >= target if more_is_better else figure <= target

    settled = interval is None or reached(interval[0]) == reached(interval[1])
    return Verdict(goal, target, model.name, device, value, interval, reached(value), settled)
