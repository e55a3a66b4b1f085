from __future__ import annotations

import numpy as np

from foodvision.paper.course_figures import MINI, ORIGINALS, TEST
from foodvision.paper.course_score import count_both_ways


def test_the_courses_three_accuracies_are_those_of_one_answer() -> None:
    labels = np.repeat(np.arange(3), list(TEST["10 %"].values()))
    found = {}
    for label, name in enumerate(MINI):
        score = count_both_ways([1.0] * 75, (labels == label).tolist())
        found[name] = round(score.course_accuracy, 4)
        assert score.accuracy == TEST["10 %"][name] / 75
    assert found == {"pizza": 0.2604, "steak": 0.1979, "sushi": 0.5417}


def test_an_incomplete_last_batch_weighs_as_much_as_a_whole_one() -> None:
    score = count_both_ways([0.0] * 32 + [1.0] * 8, [True] * 32 + [False] * 8)
    assert (score.n, score.log_loss, score.course_log_loss) == (40, 0.2, 0.5)
    assert (score.accuracy, score.course_accuracy) == (0.8, 0.5)
    low, high = score.accuracy_ci95
    assert 0.65 < low < 0.8 < high < 0.9


def test_the_numbers_right_are_those_that_the_accuracies_imply() -> None:
    """Between the extremes that images of n can have as a mean of batch means."""
    for original in ORIGINALS:
        score = original.score
        if score.right is None:
            continue
        answers = [False] * (score.n - score.right) + [True] * score.right
        extremes = [
            count_both_ways([1.0] * score.n, order).course_accuracy
            for order in (answers, answers[::-1])
        ]
        assert min(extremes) - 1e-4 <= score.accuracy <= max(extremes) + 1e-4, original.name
