"""Tells whether one classifier is better than another, or the test images are too few to say.

What each classifier said of the same images comes in; out goes a test of every pair, for accuracy
(exact McNemar) and for log loss (paired bootstrap). Each of the two is a family of its own, held at
5 % over all its pairs by Holm's procedure: if no two classifiers differ in accuracy, the chance
that any difference in accuracy is called established is at most 5 %. For log loss that holds
approximately, as the bootstrap does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest

ALPHA = 0.05
"""Of each family of tests, over all pairs together."""

RESAMPLES = 20_000
"""Of the bootstrap; enough for ten classifiers: with 45 pairs, an interval's bound is the 11th
smallest of the resampled means."""

_NUMBERS_AT_A_TIME = 1 << 22


@dataclass(frozen=True)
class Pair:
    """Two classifiers, A and B, on the same n images; differences are B minus A.

    Attributes:
        first: name of A.
        second: name of B.
        first_only: images that A alone has right.
        second_only: images that B alone has right.
        accuracy_difference: of the accuracies, from −1 to 1; above 0, B is better.
        accuracy_p: McNemar's exact p-value, two-sided.
        accuracy_p_holm: the same, adjusted for the number of pairs.
        accuracy_established: whether that is at most 0.05.
        log_loss_difference: of the log losses, in nats; below 0, B is better.
        log_loss_interval: the paired bootstrap's percentile interval of that difference.
        log_loss_level: of the interval, 0.95 or more: what Holm's procedure asks of this pair.
        log_loss_established: whether the interval excludes 0, and there are enough images: all n
            differences have one sign by chance in 1 of 2ⁿ⁻¹ cases, which must be at most 0.05 over
            the number of pairs. That takes 6 images for one pair, 11 for 45.

    """

    first: str
    second: str
    first_only: int
    second_only: int
    accuracy_difference: float
    accuracy_p: float
    accuracy_p_holm: float
    accuracy_established: bool
    log_loss_difference: float
    log_loss_interval: tuple[float, float]
    log_loss_level: float
    log_loss_established: bool


def compare_pairs(names: Sequence[str], right: np.ndarray, losses: np.ndarray) -> list[Pair]:
    """Test every pair of m classifiers.

    Args:
        names: of the classifiers.
        right: whether each classifier has each image right, bool of shape (m, n).
        losses: the log loss of each image, in nats, float64 of shape (m, n).

    Returns:
        m (m − 1) / 2 pairs: the first with each of the others, then the second, and so on.

    """
    pairs = list(combinations(range(len(names)), 2))
    if not pairs:
        return []
    only = [
        (int((right[a] & ~right[b]).sum()), int((right[b] & ~right[a]).sum())) for a, b in pairs
    ]
    p_values = [mcnemar_p(*counts) for counts in only]
    adjusted = holm(p_values)
    means = bootstrap_means(losses)
    intervals = holm_intervals([means[b] - means[a] for a, b in pairs])
    # Of one image, every resample is the same: the interval has no width, and says nothing.
    enough = 2.0 ** (1 - losses.shape[1]) <= ALPHA / len(pairs)
    return [
        Pair(
            first=names[a],
            second=names[b],
            first_only=only[i][0],
            second_only=only[i][1],
            accuracy_difference=float(right[b].mean() - right[a].mean()),
            accuracy_p=p_values[i],
            accuracy_p_holm=adjusted[i],
            accuracy_established=adjusted[i] <= ALPHA,
            log_loss_difference=float(np.mean(losses[b] - losses[a])),
            log_loss_interval=intervals[i][0],
            log_loss_level=intervals[i][1],
            log_loss_established=enough and excludes_zero(intervals[i][0]),
        )
        for i, (a, b) in enumerate(pairs)
    ]


def mcnemar_p(first_only: int, second_only: int) -> float:
    """McNemar's exact test (1947), two-sided: how surprising the counts are for a fair coin.

    Only the images that one of two classifiers alone has right tell them apart. Without any, p is
    1.
    """
    n = first_only + second_only
    return float(binomtest(first_only, n, 0.5).pvalue) if n else 1.0


def smallest_mcnemar_p(first_right: int, second_right: int) -> float:
    """The smallest p-value that two classifiers on the same images can have, from their counts.

    Which images each had right is often not published. The most favourable case is that the worse
    one had nothing right that the better one had wrong: with 148 and 145 of 150, the counts are 3
    and 0, and p is 0.25. Every other case gives a larger p-value.

    Args:
        first_right: images that the one has right.
        second_right: images that the other has right, of the same images.

    """
    return mcnemar_p(abs(first_right - second_right), 0)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's procedure (1979), in the order given.

    The i-th smallest of m is multiplied by m − i + 1, and is never below a smaller one's.
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for place, i in enumerate(np.argsort(p_values, kind="stable").tolist()):
        worst = max(worst, min(1.0, p_values[i] * (len(p_values) - place)))
        adjusted[i] = worst
    return adjusted


def bootstrap_means(values: np.ndarray) -> np.ndarray:
    """Means of resampled images, the same ones for every row, so that differences are paired.

    Args:
        values: one row of n numbers for each classifier, shape (m, n).

    Returns:
        float64 of shape (m, `RESAMPLES`).

    """
    random, n = np.random.default_rng(0), values.shape[1]
    means = np.empty((len(values), RESAMPLES))
    step = max(1, _NUMBERS_AT_A_TIME // n)
    for start in range(0, RESAMPLES, step):
        chosen = random.integers(0, n, (min(step, RESAMPLES - start), n))
        for row, mean in zip(values, means, strict=True):
            mean[start : start + step] = row[chosen].mean(axis=1)
    return means


def percentile_interval(means: np.ndarray, level: float = 1 - ALPHA) -> tuple[float, float]:
    """The bootstrap's percentile interval at this level: two of the resampled means."""
    ordered = np.sort(means)
    left_out = int((1 - level) / 2 * len(ordered))  # on each side
    return float(ordered[left_out]), float(ordered[-1 - left_out])


def excludes_zero(interval: tuple[float, float]) -> bool:
    """Whether all of the interval is on one side of 0."""
    low, high = interval
    return low > 0 or high < 0


def holm_intervals(
    differences: Sequence[np.ndarray],
) -> list[tuple[tuple[float, float], float]]:
    """An interval and its level for each of m resampled differences, by Holm's procedure.

    The clearest difference gets an interval at level 1 − 0.05 / m, the next at 1 − 0.05 / (m − 1),
    and so on, as long as they exclude 0. The first that includes it ends the procedure: the others
    get its level, at which they include 0 as well.

    Clearer is the one with fewer resampled means on the other side of 0 than most; of two with as
    many, the one that is further from 0 in standard errors.

    Args:
        differences: the resampled means of each, shape (`RESAMPLES`,).

    Returns:
        For each: the interval and its level, in the order given.

    """

    def unclarity(i: int) -> tuple[int, float]:
        means = differences[i]
        opposite = min(int((means <= 0).sum()), int((means >= 0).sum()))
        return opposite, -abs(float(means.mean())) / (float(means.std()) or 1.0)

    result = [((0.0, 0.0), 0.0)] * len(differences)
    level, stopped = 0.0, False
    for place, i in enumerate(sorted(range(len(differences)), key=unclarity)):
        if not stopped:
            level = 1 - ALPHA / (len(differences) - place)
        interval = percentile_interval(differences[i], level)
        stopped = stopped or not excludes_zero(interval)
        result[i] = interval, level
    return result
