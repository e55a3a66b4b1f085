from __future__ import annotations

from math import comb

import numpy as np
import pytest

from foodvision.evaluation.significance import (
    RESAMPLES,
    bootstrap_means,
    compare_pairs,
    excludes_zero,
    holm,
    holm_intervals,
    mcnemar_p,
    percentile_interval,
    smallest_mcnemar_p,
)


def test_mcnemar_counts_every_outcome_of_a_fair_coin_that_is_as_unlikely() -> None:
    for first in range(9):
        for second in range(9):
            n = first + second
            as_unlikely = sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, first))
            assert mcnemar_p(first, second) == pytest.approx(as_unlikely / 2**n, abs=1e-12)


def test_no_image_that_tells_them_apart() -> None:
    assert mcnemar_p(0, 0) == 1.0


def test_the_courses_counts_are_not_established_even_under_the_most_favourable_pairing() -> None:
    """148 and 145 of 150, as published: which images they were is not."""
    assert smallest_mcnemar_p(148, 145) == smallest_mcnemar_p(145, 148) == 0.25


def test_the_most_favourable_pairing_is_the_smallest_of_all() -> None:
    n = 12
    for first in range(n + 1):
        for second in range(n + 1):
            both = range(max(0, first + second - n), min(first, second) + 1)
            of_all = [mcnemar_p(first - k, second - k) for k in both]
            assert smallest_mcnemar_p(first, second) == pytest.approx(min(of_all), abs=1e-12)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(3, 2, (1, 400))
    low, high = percentile_interval(bootstrap_means(values)[0], 0.95)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.02)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.02)


def test_resampled_images_are_the_same_for_all_classifiers() -> None:
    hard = np.random.default_rng(0).exponential(5, 50)
    means = bootstrap_means(np.stack([hard, hard + 0.01]))
    assert means[1] - means[0] == pytest.approx(np.full(RESAMPLES, 0.01))


def test_resampling_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(2, 30))
    whole = bootstrap_means(values)
    monkeypatch.setattr("foodvision.evaluation.significance._NUMBERS_AT_A_TIME", 1000)
    assert (bootstrap_means(values) == whole).all()


def _difference(z: float, seed: int) -> np.ndarray:
    """Resampled means whose true mean is z standard errors from 0."""
    drawn = np.random.default_rng(seed).normal(size=RESAMPLES)
    return (drawn - drawn.mean()) / drawn.std() + z


def test_holms_procedure_ends_at_the_first_interval_with_0() -> None:
    # 2.1 standard errors are enough at 95 %, but not at the level of the second of three, 97.5 %.
    intervals = holm_intervals([_difference(z, i) for i, z in enumerate((2.1, -9.0, 2.1))])
    assert [level for _, level in intervals] == pytest.approx([0.975, 1 - 0.05 / 3, 0.975])
    assert [excludes_zero(interval) for interval, _ in intervals] == [False, True, False]
    (alone,) = holm_intervals([_difference(2.1, 0)])
    assert alone[1] == 0.95
    assert excludes_zero(alone[0])


def test_of_clear_differences_the_clearest_has_the_widest_level() -> None:
    intervals = holm_intervals([_difference(9, 0), _difference(-20, 1), _difference(12, 2)])
    levels = [level for _, level in intervals]
    assert levels == pytest.approx([0.95, 1 - 0.05 / 3, 0.975])


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_after_the_end_includes_0(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(random.uniform(-0.4, 0.4, (6, 1)), 1, (6, 60))
    means = bootstrap_means(values)
    differences = [means[b] - means[a] for a in range(6) for b in range(a)]
    intervals = holm_intervals(differences)
    stopped = min(level for interval, level in intervals if not excludes_zero(interval))
    for interval, level in intervals:
        assert excludes_zero(interval) == (level > stopped)


def test_pairs_and_their_signs() -> None:
    right = np.zeros((3, 40), dtype=bool)
    right[0, :20], right[1, 10:], right[2, :20] = True, True, True
    losses = np.where(right, 0.1, 2.0)
    ab, ac, bc = compare_pairs(["a", "b", "c"], right, losses)
    assert (ab.first, ab.second, ab.first_only, ab.second_only) == ("a", "b", 10, 20)
    assert ab.accuracy_difference == pytest.approx(0.25)
    assert ab.accuracy_p == mcnemar_p(10, 20)
    assert ab.accuracy_p_holm == pytest.approx(min(1, 3 * mcnemar_p(10, 20)))
    assert ab.log_loss_difference == pytest.approx(-0.25 * 1.9)  # b is better
    low, high = ab.log_loss_interval
    assert low < ab.log_loss_difference < high
    assert (bc.first, bc.second, bc.log_loss_difference) == ("b", "c", -ab.log_loss_difference)
    assert not ab.accuracy_established
    identical = ac
    assert (identical.first_only, identical.second_only, identical.accuracy_p) == (0, 0, 1.0)
    assert identical.log_loss_interval == (0.0, 0.0)
    assert not identical.accuracy_established
    assert not identical.log_loss_established


def test_a_clear_difference_is_established() -> None:
    right = np.zeros((2, 40), dtype=bool)
    right[1, :30] = True
    (pair,) = compare_pairs(["a", "b"], right, np.where(right, 0.1, 2.0))
    assert pair.accuracy_established
    assert pair.log_loss_established
    assert compare_pairs(["a"], right[:1], np.ones((1, 40))) == []


@pytest.mark.parametrize(("models", "fewest"), [(2, 6), (3, 7), (10, 11)])
def test_differences_of_a_few_images_are_never_established(models: int, fewest: int) -> None:
    """With 5 images, all of them are better by chance in 1 of 16 cases."""
    losses = np.arange(models)[:, None] + np.random.default_rng(0).uniform(0, 0.1, fewest)
    for n, established in ((1, False), (fewest - 1, False), (fewest, True)):
        right = np.zeros((models, n), dtype=bool)
        pairs = compare_pairs([str(i) for i in range(models)], right, losses[:, :n])
        assert {pair.log_loss_established for pair in pairs} == {established}
