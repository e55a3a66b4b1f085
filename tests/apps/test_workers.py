from __future__ import annotations

import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foodvision.apps.answers import Answers
from foodvision.apps.workers import Workers
from foodvision.classifier.exported import ExportedClassifier
from tests.apps.test_batcher import wait_until


def test_workers_answer_as_the_classifier_does_even_if_one_is_killed(
    exported: Path, patterns: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = ExportedClassifier.read(exported, "onnx/float32")
    images = [str(path) for path in sorted(patterns.rglob("*.png"))[:6]]
    expected = [classifier.predict(image) for image in images]
    with Workers(classifier, 2) as workers:
        answers = Answers(classifier, workers=workers)
        with ThreadPoolExecutor(6) as visitors:
            assert list(visitors.map(answers.predict, images)) == expected
        assert [answer.label for answer in answers.predict_many(images)] == [
            answer.label for answer in expected
        ]
        broken = workers._pool
        os.kill(next(iter(broken._processes)), signal.SIGKILL)
        wait_until(lambda: broken._broken)
        with caplog.at_level(logging.WARNING):
            assert answers.predict(images[0]) == expected[0]
        (said,) = caplog.messages
        assert said == "a worker of the app was killed; all of them start again"
        processes = list(workers._pool._processes.values())
    assert not any(process.is_alive() for process in processes)
