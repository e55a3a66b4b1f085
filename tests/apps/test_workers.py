from __future__ import annotations

import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
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
    with closing(Workers(classifier, 2)) as workers:
        answers = Answers(classifier, workers=workers)
        with ThreadPoolExecutor(6) as visitors:
            assert list(visitors.map(answers.predict, images)) == expected
        assert [answer.label for answer in answers.predict_many(images)] == [
            answer.label for answer in expected
        ]
        killed, other = workers._pools
        os.kill(next(iter(killed._processes)), signal.SIGKILL)
        wait_until(lambda: killed._broken)
        with caplog.at_level(logging.WARNING):
            assert [answers.predict(image) for image in images[:2]] == expected[:2]
        (said,) = caplog.messages
        assert said == "a worker of the app was killed; another one takes its place"
        assert workers._pools[1] is other
        processes = [each for pool in workers._pools for each in pool._processes.values()]
    assert len(processes) == 2
    assert not any(process.is_alive() for process in processes)
