from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from foodvision.data import Example, load_dataset
from foodvision.evaluation import speed
from foodvision.evaluation.speed import describe_machine, measure_speed
from tests.conftest import build_classifier


class Timed:
    """Stands for a classifier on a machine whose clock it moves."""

    def __init__(self, name: str, seconds: float, clock: SimpleNamespace) -> None:
        self.name, self.seconds, self.clock = name, seconds, clock
        self.device_type = "cuda"
        self.moves: list[str] = []
        self.opened: list[Any] = []

    def to(self, device: str) -> None:
        self.moves.append(device)

    def predict(self, source: Any) -> None:
        self.opened.append(source)
        self.clock.order.append(self.name)
        self.clock.now += self.seconds * (10 if len(self.opened) <= speed.WARM_UP else 1)

    def logits(self, sources: Any, batch_size: int) -> list[None]:
        self.clock.now += len(sources) * self.seconds / 2
        return []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0, order=[])
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


EXAMPLES = [Example(f"{i}".encode(), 0, f"{i}.jpg") for i in range(300)]


def test_classifiers_take_turns_on_the_same_images(clock: SimpleNamespace) -> None:
    fast, slow = Timed("fast", 0.01, clock), Timed("slow", 0.04, clock)
    speeds = measure_speed([fast, slow], EXAMPLES, "cpu")  # type: ignore[list-item]
    assert [s.seconds_p50 for s in speeds] == pytest.approx([0.01, 0.04])
    assert [s.seconds_p95 for s in speeds] == pytest.approx([0.01, 0.04])  # without the warm-up
    assert [s.fps for s in speeds] == pytest.approx([100, 25])
    assert [s.images_per_second for s in speeds] == pytest.approx([200, 50])
    assert [s.images for s in speeds] == [100, 100]
    assert fast.opened == slow.opened
    assert len({*fast.opened}) == 100
    # Any part of a sorted dataset would be of one class.
    numbers = np.array([int(source) for source in fast.opened])
    assert np.histogram(numbers, 3, (0, 300))[0].min() > 20
    turns = clock.order[2 * speed.WARM_UP :]
    pairs = Counter(zip(turns[::2], turns[1::2], strict=True))
    assert set(pairs) == {("fast", "slow"), ("slow", "fast")}
    assert min(pairs.values()) > 30
    assert fast.moves == slow.moves == ["cpu", "cuda"]


def test_a_slow_network_is_timed_on_fewer_images(clock: SimpleNamespace) -> None:
    (slow,) = measure_speed([Timed("slow", 7.0, clock)], EXAMPLES, "cpu")  # type: ignore[list-item]
    assert slow.images == 9  # 63 seconds
    assert slow.seconds_p50 == pytest.approx(7.0)


def test_classifiers_return_to_their_device_after_a_failure(clock: SimpleNamespace) -> None:
    timed = Timed("a", 0.01, clock)
    timed.logits = None  # type: ignore[assignment, method-assign]
    with pytest.raises(TypeError):
        measure_speed([timed], EXAMPLES, "cpu")  # type: ignore[list-item]
    assert timed.moves == ["cpu", "cuda"]


def test_a_real_classifier(patterns: Path) -> None:
    examples = list(load_dataset(patterns).splits["test"])
    (measured,) = measure_speed([build_classifier()], examples, "cpu")
    assert measured.images == 30
    assert 0 < measured.seconds_p50 <= measured.seconds_p95 < 5
    assert measured.images_per_second > 0


def test_the_machine_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    assert describe_machine("cpu") == "cpu (2 threads)"
    assert describe_machine("cpu", 1) == "cpu (1 thread)"
    assert describe_machine("cuda") == "cuda (NVIDIA H100)"
    assert describe_machine("mps") == "mps"
