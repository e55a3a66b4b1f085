from __future__ import annotations

import pytest

from foodvision.evaluation.compared import ComparedModel
from foodvision.evaluation.speed import Speed
from foodvision.evaluation.verdict import judge

MODEL = ComparedModel(
    name="m",
    classes=3,
    log_loss=0.25,
    log_loss_ci95=(0.2, 0.3),
    accuracy=145 / 150,
    accuracy_ci95=(0.924, 0.986),
    parameters=1_000,
    trained=10,
    mb=12.5,
    speeds=[Speed("cpu", 10, 0.02, 0.05, 90.0, 32), Speed("cuda", 10, 0.001, 0.002, 900.0, 32)],
    overlap="",
)


@pytest.mark.parametrize(
    ("goal", "target", "text", "settled"),
    [
        (
            "accuracy",
            0.95,
            "met (96.7%; 95 % interval 92.4% to 98.6%, which does not settle it)",
            False,
        ),
        ("accuracy", 0.9, "met (96.7%; 95 % interval 92.4% to 98.6%)", True),
        (
            "accuracy",
            0.97,
            "not met (96.7%; 95 % interval 92.4% to 98.6%, which does not settle it)",
            False,
        ),
        ("accuracy", 0.99, "not met (96.7%; 95 % interval 92.4% to 98.6%)", True),
        ("log_loss", 0.3, "met (0.2500; 95 % interval 0.2000 to 0.3000)", True),
        (
            "log_loss",
            0.26,
            "met (0.2500; 95 % interval 0.2000 to 0.3000, which does not settle it)",
            False,
        ),
        ("log_loss", 0.1, "not met (0.2500; 95 % interval 0.2000 to 0.3000)", True),
        ("mb", 12.5, "met (12.5)", True),
        ("mb", 12, "not met (12.5)", True),
        ("parameters", 999, "not met (1,000)", True),
    ],
)
def test_goals_and_what_settles_them(goal: str, target: float, text: str, settled: bool) -> None:
    (verdict,) = judge(goal, target, MODEL)
    assert str(verdict) == text
    assert (verdict.met, verdict.settled) == (text.startswith("met"), settled)


def test_frames_per_second_on_each_device() -> None:
    cpu, cuda = judge("fps", 30, MODEL)
    assert (cpu.device, cpu.met, cpu.settled) == ("cpu", True, False)
    assert str(cpu) == (
        "met (50.0 at the median, 20.0 at p95: the slowest 5 % of the images do not reach it)"
    )
    assert str(cuda) == "met (1,000.0 at the median, 500.0 at p95)"
    assert cuda.settled
    slow, _ = judge("fps", 60, MODEL)
    assert str(slow) == "not met (50.0 at the median, 20.0 at p95)"
    assert slow.settled
