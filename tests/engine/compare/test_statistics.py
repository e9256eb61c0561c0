"""Against the formulas, written out; and how often chance alone is called a difference."""

import math

import numpy as np
import pytest
from scipy.special import betaincinv, stdtr, stdtrit

from engine.compare.statistics import paired, paired_by_photo, seeds_to_settle, unpaired

OURS = [0.9477, 0.9542, 0.9608, 0.9542, 0.9673]
THEIRS = [0.9412, 0.9477, 0.9608, 0.9346, 0.9477]


def test_two_times_five_seeds() -> None:
    differences = np.array(OURS) - np.array(THEIRS)
    error = differences.std(ddof=1) / math.sqrt(5)
    half = stdtrit(4, 0.975) * error
    found = paired(OURS, THEIRS, 0.95)
    assert found.low is not None
    assert found.high is not None
    assert found.mean == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((differences.mean() - half, differences.mean() + half))
    assert found.p_better == pytest.approx(stdtr(4, differences.mean() / error))
    assert found.n == 5
    assert found.decided == (differences.mean() > half)
    assert "seed" in found.covers


def test_folds_whose_training_parts_overlap() -> None:
    """The corrected resampled t-test: 1 / n + 1 / 4 instead of 1 / n, for 5 folds."""
    differences = np.array(OURS) - np.array(THEIRS)
    error = differences.std(ddof=1) * math.sqrt(1 / 5 + 1 / 4)
    half = stdtrit(4, 0.975) * error
    found = paired(OURS, THEIRS, 0.95, folds=5)
    assert (found.low, found.high) == pytest.approx((differences.mean() - half, differences.mean() + half))
    assert found.p_better == pytest.approx(stdtr(4, differences.mean() / error))
    assert (found.needed, found.folds) == (None, 5)


@pytest.mark.parametrize(("folds", "overlaps"), [((1, 1), (0, 0)), ((5, 5), (1 / 4, 1 / 4)), ((5, 1), (1 / 4, 0))])
def test_seeds_that_differ(folds: tuple[int, int], overlaps: tuple[float, float]) -> None:
    a, b = np.array(OURS), np.array(THEIRS[:4])
    va, vb = a.var(ddof=1) * (1 / 5 + overlaps[0]), b.var(ddof=1) * (1 / 4 + overlaps[1])
    degrees = (va + vb) ** 2 / (va**2 / 4 + vb**2 / 3)
    difference = a.mean() - b.mean()
    half = stdtrit(degrees, 0.975) * math.sqrt(va + vb)
    found = unpaired(OURS, THEIRS[:4], 0.95, folds)
    assert (found.low, found.high) == pytest.approx((difference - half, difference + half))
    assert found.p_better == pytest.approx(stdtr(degrees, difference / math.sqrt(va + vb)))
    assert (found.needed is None, found.folds) == (max(folds) > 1, max(folds))


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ([0.9], [0.8], "n = 1"),
        ([0.9, 0.8], [0.8, 0.6], "n = 2"),
        ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], "all equal"),
        ([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], "all equal"),
    ],
)
def test_words_instead_of_an_interval(ours: list[float], theirs: list[float], why: str) -> None:
    found = paired(ours, theirs, 0.95)
    assert (found.low, found.high, found.why, found.decided) == (None, None, why, False)


def test_the_number_of_seeds_that_settles_it() -> None:
    """By simulation: with as many, four of five intervals exclude zero."""
    needed = seeds_to_settle(0.8, 5, 0.95)
    assert needed is not None
    rng, excluded = np.random.default_rng(0), []
    for count in (needed - 2, needed):
        draws = rng.normal(0.8, 1, (20_000, count))
        t = draws.mean(1) / draws.std(1, ddof=1) * math.sqrt(count)
        excluded.append((t > stdtrit(count - 1, 0.975)).mean())
    assert excluded[0] < 0.8 < excluded[1] + 0.01
    assert seeds_to_settle(0.0001, 5, 0.95) is None
    assert seeds_to_settle(1000.0, 5, 0.95) == 5


def photos(both: int, won: int, lost: int, neither: int) -> tuple[list[bool], list[bool]]:
    ours = [True] * (both + won) + [False] * (lost + neither)
    theirs = [True] * both + [False] * won + [True] * lost + [False] * neither
    return ours, theirs


def test_photos() -> None:
    found = paired_by_photo(*photos(130, 12, 3, 8), 0.95)
    assert found.mean == pytest.approx(9 / 153)
    low_share, low_part = betaincinv(12, 4, 0.025), betaincinv(15, 139, 0.025)
    high_share, high_part = betaincinv(13, 3, 0.975), betaincinv(16, 138, 0.975)
    assert (found.low, found.high) == pytest.approx(((2 * low_share - 1) * low_part, (2 * high_share - 1) * high_part))
    tail = sum(math.comb(16, k) for k in range(4)) / 2**16  # Beta(13, 4) below one half, as a sum of binomials
    assert found.p_better == pytest.approx(1 - tail)
    assert "photos" in found.covers


@pytest.mark.parametrize(("won", "lost"), [(5, 0), (6, 0), (9, 2), (10, 2), (0, 6), (15, 5)])
def test_the_interval_excludes_zero_where_mcnemars_exact_test_rejects(won: int, lost: int) -> None:
    tail = sum(math.comb(won + lost, k) for k in range(min(won, lost) + 1)) / 2 ** (won + lost)
    assert paired_by_photo(*photos(100, won, lost, 0), 0.95).decided == (2 * tail < 0.05)


def test_photos_on_which_nothing_differs() -> None:
    found = paired_by_photo(*photos(140, 0, 0, 13), 0.95)
    assert (found.low, found.decided, found.why) == (None, False, "none differs")


@pytest.mark.parametrize(("p_won", "p_lost"), [(0.02, 0.02), (0.05, 0.05), (0.1, 0.02), (0.3, 0.0), (0.3, 0.25)])
def test_the_interval_covers_the_true_difference(p_won: float, p_lost: float) -> None:
    draws = np.random.default_rng(1).multinomial(153, [p_won, p_lost, 1 - p_won - p_lost], size=2000)
    kinds, counts = np.unique(draws, axis=0, return_counts=True)
    covered = 0
    for (won, lost, same), count in zip(kinds, counts, strict=True):
        found = paired_by_photo(*photos(same, won, lost, 0), 0.95)
        low, high = (0.0, 0.0) if found.low is None or found.high is None else (found.low, found.high)
        covered += count * (low <= p_won - p_lost <= high)
    assert covered / 2000 >= 0.95


def test_a_hundred_pairs_that_differ_by_chance() -> None:
    """Networks that are equally good, wrong on other photos of 153; and 2 x 5 seeds of equal settings."""
    rng = np.random.default_rng(0)
    difficulty = rng.beta(6, 0.4, 153)  # most photos are easy
    of_photos = sum(
        paired_by_photo(rng.random(153) < difficulty, rng.random(153) < difficulty, 0.95).decided for _ in range(100)
    )
    of_seeds = sum(paired(*(rng.binomial(153, 0.95, 5) / 153 for _ in range(2)), 0.95).decided for _ in range(100))
    assert of_photos <= 6
    assert of_seeds <= 6
