from __future__ import annotations

import io
import logging
import sys

import pytest

from foodvision import progress
from foodvision.progress import (
    ProgressLines,
    duration,
    log_to_stderr,
    progress_bar,
    show_log,
)


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    caplog.set_level(logging.INFO, "foodvision")
    return clock


def test_without_a_terminal_long_work_says_a_few_lines(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with progress_bar() as bar:
        task = bar.add_task("reading", total=200, unit="images", info="")
        for _ in range(200):
            clock.now += 0.5
            bar.advance(task)
    assert caplog.messages == [
        "reading: 22 of 200 images, about 89 s for the rest",
        "reading: 44 of 200 images, about 78 s for the rest",
        "reading: 88 of 200 images, about 56 s for the rest",
        "reading: 176 of 200 images, about 12 s for the rest",
        "reading: 200 images in 2 minutes",
    ]


def test_the_first_image_alone_is_no_base_for_an_estimate(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with progress_bar() as bar:
        task = bar.add_task("evaluating", total=100, unit="images", info="")
        clock.now += 30  # the network is loaded
        for _ in range(12):
            bar.advance(task)
            clock.now += 1
    assert caplog.messages == ["evaluating: 12 of 100 images, about 5 minutes for the rest"]


def test_short_work_says_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with progress_bar("bytes") as bar:
        task = bar.add_task("checking", total=None, info="")
        bar.update(task, total=10)
        clock.now += 9
        bar.update(task, completed=10)
    assert not caplog.messages


def test_bytes_are_shown_as_megabytes(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with progress_bar("bytes") as bar:
        task = bar.add_task("model.safetensors", total=None, info="")
        bar.update(task, completed=1e6)
        clock.now += 11
        bar.update(task, completed=3e6)
        clock.now += 12
        bar.update(task, total=8e6, completed=4e6, info="next try in 3 s")
    assert caplog.messages == [
        "model.safetensors: 3 MB",
        "model.safetensors: 4 of 8 MB, about 23 s for the rest",
    ]


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar() as bar:
        assert not isinstance(bar, ProgressLines)
        task = bar.add_task("epoch 1/2", total=9, unit="images", info="")
        bar.reset(task, description="epoch 2/2", info="loss 1")
        for _ in range(3):
            bar.advance(task)
            bar.refresh()
    assert "epoch 2/2" in sys.stderr.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (89, "89 s"), (720, "12 minutes"), (9000, "2.5 hours")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_log_is_shown_unless_its_level_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("foodvision")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's
    with show_log():
        logger.info("an epoch\x1b[2J")
    logger.info("afterwards")
    logger.setLevel(logging.WARNING)
    try:
        with show_log():
            logger.info("not wanted")
    finally:
        logger.setLevel(logging.NOTSET)
    assert capsys.readouterr().err == "an epoch\\x1b[2J\n"


def test_what_was_done_before_an_interruption_took_no_time(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with progress_bar() as bar:
        task = bar.add_task("epoch 1/2", total=200, completed=150, unit="images", info="")
        bar.update(task, completed=151)
        clock.now += 11
        bar.update(task, completed=161)
    assert caplog.messages == ["epoch 1/2: 161 of 200 images, about 39 s for the rest"]


def test_of_several_processes_the_first_alone_reports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with log_to_stderr():
            logging.getLogger("foodvision.x").info("from %s", rank)
            logging.getLogger("foodvision.x").warning("warning of %s", rank)
    assert capsys.readouterr().err.splitlines() == ["from 0", "warning of 0", "warning of 1"]
