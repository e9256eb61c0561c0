"""Paired differences and their confidence intervals; each docstring states what its interval covers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from engine.statistics import overlap, resampled_interval
from engine.wording import rounded

ON_FOLDS = (
    "the choice of data and seed, corrected for the overlap of the folds' training parts (Nadeau and Bengio 2003)"
)
MIN_SEEDS = 3
MAX_SEEDS = 10_000
POWER = 0.8
"""The probability with which the number of seeds from `seeds_to_settle` would exclude zero."""


@dataclass(frozen=True)
class Difference:
    """The difference A - B over `n` pairs.

    low, high: the confidence interval; None if there is none, for the reason in `why` (`n = 2`, `all equal`).
    p_better: the probability that A's true value is larger than B's, given only these pairs.
    needed: total seeds that would settle it if the true difference equals the measured one; None if unknown.
    folds: the number of folds of the data, in turn, on which the pairs were evaluated; 1: not a cross-validation.
    """

    mean: float
    n: int
    low: float | None = None
    high: float | None = None
    why: str = ""
    p_better: float | None = None
    needed: int | None = None
    covers: str = ""
    folds: int = 1

    @property
    def half(self) -> float | None:
        """Half the width of the interval, if there is one: what numbers are rounded by."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def shown(self) -> str:
        return rounded(self.mean, self.half, "+")

    @property
    def decided(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def paired(ours: Sequence[float], theirs: Sequence[float], level: float, folds: int = 1) -> Difference:
    """Mean of ours - theirs over the same seeds and folds, with Student's t interval of the differences.

    With several folds, whose training parts overlap, the interval and test are the corrected, wider ones of
    `resampled_interval`.
    """
    differences = np.subtract(ours, theirs)
    mean, n = float(differences.mean()), len(differences)
    if n < MIN_SEEDS:
        return Difference(mean, n, why=f"n = {n}", folds=folds)
    if np.ptp(differences) <= 1e-12 * max(1.0, abs(mean)):  # 0.9 - 0.8 and 0.8 - 0.7 differ in the last bit
        return Difference(mean, n, why="all equal", folds=folds)
    low, high = resampled_interval(differences.tolist(), overlap(folds), level)
    spread = float(differences.std(ddof=1))
    statistic = mean / (spread * float(np.sqrt(1 / n + overlap(folds))))
    return Difference(
        mean,
        n,
        low,
        high,
        p_better=float(stats.t.cdf(statistic, n - 1)),
        needed=seeds_to_settle(abs(mean) / spread, n, level) if folds == 1 else None,
        covers="the choice of the seed, on this data" if folds == 1 else ON_FOLDS,
        folds=folds,
    )


def unpaired(
    ours: Sequence[float], theirs: Sequence[float], level: float, folds: tuple[int, int] = (1, 1)
) -> Difference:
    """Mean of ours minus mean of theirs, which have no seed in common, with Welch's t interval.

    The variance of a mean over several `folds` is the corrected one of `resampled_interval`.
    """
    mean, n = float(np.mean(ours) - np.mean(theirs)), min(len(ours), len(theirs))
    if n < MIN_SEEDS:
        return Difference(mean, n, why=f"n = {n}")
    if np.ptp(ours) == 0 and np.ptp(theirs) == 0:
        return Difference(mean, n, why="all equal")
    counts, variances = np.array([len(ours), len(theirs)]), np.array([np.var(ours, ddof=1), np.var(theirs, ddof=1)])
    of_means = variances * (1 / counts + [overlap(number) for number in folds])
    degrees = of_means.sum() ** 2 / (of_means**2 / (counts - 1)).sum()  # Welch and Satterthwaite
    error = float(np.sqrt(of_means.sum()))
    half = float(stats.t.ppf((1 + level) / 2, degrees)) * error
    in_folds = max(folds) > 1
    what = ON_FOLDS if in_folds else "the choice of the seed, on this data"
    return Difference(
        mean,
        n,
        mean - half,
        mean + half,
        p_better=float(stats.t.cdf(mean / error, degrees)),
        needed=None if in_folds else seeds_to_settle(abs(mean) / float(np.sqrt(variances.sum())), n, level),
        covers=f"{what}; the seeds are not the same, so it is wider than a paired one",
        folds=max(folds),
    )


def seeds_to_settle(effect: float, n: int, level: float) -> int | None:
    """The smallest number of seeds, at least n, whose t interval excludes zero with probability POWER.

    effect: |mean difference| / standard deviation of the differences, assumed to be the true one. None above MAX_SEEDS.
    """
    counts = np.arange(max(n, MIN_SEEDS), MAX_SEEDS + 1)
    critical = stats.t.ppf((1 + level) / 2, counts - 1)
    # If the shift is far beyond the critical value, scipy's noncentral t may return NaN; the power is then 1.
    power = np.nan_to_num(stats.nct.sf(critical, counts - 1, effect * np.sqrt(counts)), nan=1.0)
    enough = counts[power >= POWER]
    return int(enough[0]) if len(enough) else None


def paired_by_photo(ours: Sequence[bool], theirs: Sequence[bool], level: float) -> Difference:
    """Accuracy of one network minus that of another, on the same photos (n,).

    Photos that both networks classify correctly, or neither, do not show which is better. Of the m others, the first
    network gets a share s right. The interval of (2 s - 1) · m / n is based on the exact (Clopper-Pearson) intervals of
    s and of m / n. It excludes zero if and only if the exact McNemar test rejects at 1 - level; its coverage is above
    `level` (tests/engine/compare/test_statistics.py enumerates it).

    `p_better` is the posterior probability that s > 1/2, with a uniform prior.
    """
    right, wrong = np.asarray(ours, dtype=bool), np.asarray(theirs, dtype=bool)
    n = len(right)
    won, lost = int((right & ~wrong).sum()), int((wrong & ~right).sum())
    mean = (won - lost) / n
    if won + lost == 0:
        return Difference(mean, n, why="none differs")
    shares = stats.binomtest(won, won + lost).proportion_ci(level, method="exact")
    differing = stats.binomtest(won + lost, n).proportion_ci(level, method="exact")
    ends = [float((2 * share - 1) * part) for share in shares for part in differing]
    return Difference(
        mean,
        n,
        min(ends),
        max(ends),
        p_better=float(stats.beta.sf(0.5, won + 1, lost + 1)),
        covers="the choice of the photos, for these two trained networks; not the seed",
    )
