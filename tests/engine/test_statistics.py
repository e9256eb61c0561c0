from collections.abc import Callable
from itertools import combinations, product
from statistics import fmean

import pytest

from engine.statistics import expected_best, resampled_interval, student_t_quantile, trial_variance, wilson_interval


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (10, 2.2281), (49, 2.0096), (120, 1.9799)],
)
def test_two_sided_95_percent_points_of_the_printed_tables(degrees: int, expected: float) -> None:
    assert student_t_quantile(0.95, degrees) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(("probability", "expected"), [(0.5, 0.6998), (0.9, 1.8125), (0.99, 3.1693), (0.999, 4.5869)])
def test_other_probabilities(probability: float, expected: float) -> None:
    assert student_t_quantile(probability, 10) == pytest.approx(expected, abs=6e-5)


def test_many_degrees_of_freedom_are_the_normal_distribution() -> None:
    assert student_t_quantile(0.95, 20_000) == pytest.approx(1.959964, abs=2e-4)


def test_fresh_data_gives_students_own_interval() -> None:
    """Scores 1 to 5: mean 3, s² = 2.5, t(4) = 2.77645, so 3 ± 2.77645 · √(2.5 / 5)."""
    low, high = resampled_interval([1.0, 2.0, 3.0, 4.0, 5.0], 0.0, 0.95)
    assert (low, high) == pytest.approx((3 - 1.96324, 3 + 1.96324), abs=1e-5)


def test_overlap_widens_the_interval() -> None:
    """The same scores from 5-fold cross-validation: √((1/5 + 1/4) · 2.5) = 1.06066."""
    low, high = resampled_interval([5.0, 3.0, 1.0, 2.0, 4.0], 1 / 4, 0.95)
    assert (low, high) == pytest.approx((3 - 2.94487, 3 + 2.94487), abs=1e-5)


def test_repeats_of_the_same_data_do_not_make_it_certain() -> None:
    scores = [0.9, 1.0] * 2000
    low, high = resampled_interval(scores, 1 / 9, 0.95)
    assert high - low == pytest.approx(2 * 1.96 * 0.05 / 3, rel=0.01)
    plain_low, plain_high = resampled_interval(scores, 0.0, 0.95)
    assert plain_high - plain_low < 0.004


def test_a_least_variance() -> None:
    """As in the overlapping folds above, but with 10 instead of s² = 2.5: twice the width."""
    low, high = resampled_interval([5.0, 3.0, 1.0, 2.0, 4.0], 1 / 4, 0.95, least_variance=10)
    assert (low, high) == pytest.approx((3 - 2 * 2.94487, 3 + 2 * 2.94487), abs=2e-5)


def test_the_variance_of_a_trial_that_always_succeeded_is_not_zero() -> None:
    assert trial_variance(6, 6) == pytest.approx(0.8 * 0.2)
    assert trial_variance(0, 6) == pytest.approx(0.2 * 0.8)
    assert trial_variance(500, 1000) == pytest.approx(0.25)


def test_one_score_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two scores, not 1"):
        resampled_interval([0.9], 0.0, 0.95)


def test_wilson_interval_of_published_values() -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, count), bounds in published.items():
        assert wilson_interval(successes, count, 0.95) == pytest.approx(bounds, abs=5e-5)
    assert wilson_interval(20, 20, 0.95)[1] == 1
    with pytest.raises(ValueError, match="0 trials"):
        wilson_interval(0, 0, 0.95)


SCORES = [0.7, 0.9, 0.9, 0.4, 0.65, 0.8]


@pytest.mark.parametrize(("mode", "best"), [("max", max), ("min", min)])
def test_expected_best_is_the_mean_over_all_subsets(mode: str, best: Callable[..., float]) -> None:
    for count in range(1, len(SCORES) + 1):
        subsets = [best(chosen) for chosen in combinations(SCORES, count)]
        assert expected_best(SCORES, count, mode) == pytest.approx(fmean(subsets), rel=1e-12)
    for count in (0, len(SCORES) + 1):
        with pytest.raises(ValueError, match="the best of"):
            expected_best(SCORES, count, mode)


def test_expected_best_is_without_bias() -> None:
    """Over all samples of four throws of a die with three sides, it averages to the expected best of two throws."""
    sides = (1.0, 2.0, 6.0)
    true = fmean(max(throws) for throws in product(sides, repeat=2))
    assert fmean(expected_best(sample, 2, "max") for sample in product(sides, repeat=4)) == pytest.approx(true)


def test_expected_best_of_many() -> None:
    scores = [i / 1000 for i in range(1000)]
    assert expected_best(scores, 1, "max") == pytest.approx(fmean(scores))
    assert expected_best(scores, 1000, "max") == pytest.approx(0.999)
    assert expected_best(scores, 500, "max") == pytest.approx(1.001 * 500 / 501 - 0.001, abs=1e-9)
