"""Confidence intervals of a mean and of a share, and the best of several results."""

import math
import statistics
from collections.abc import Sequence


def student_t_quantile(probability: float, degrees: int) -> float:
    """The t > 0 such that a Student's t variable with `degrees` of freedom lies in ±t with `probability`, in (0, 1)."""
    from scipy.special import stdtrit  # only here: slow to import, and a single run needs none

    return float(stdtrit(degrees, (1 + probability) / 2))


def resampled_interval(
    scores: Sequence[float], test_to_train: float, confidence: float, least_variance: float = 0.0
) -> tuple[float, float]:
    """Confidence interval of the expected score, from J scores of training runs with overlapping data.

    mean ± t · √((1/J + n_test/n_train) · s²), with s² the scores' sample variance, or `least_variance` if that is
    larger, and t Student's quantile with J - 1 degrees of freedom. The ordinary interval, with 1/J alone
    (`test_to_train` 0), assumes independent scores: with more and more repeats of a cross-validation on the same data,
    it would shrink to zero.

    Source: the corrected resampled t-test of Nadeau & Bengio 2003, "Inference for the generalization error", Machine
    Learning 52, applied to r times k-fold cross-validation as in Bouckaert & Frank 2004, "Evaluating the replicability
    of significance tests for comparing learning algorithms": J = k · r, n_test/n_train = 1 / (k - 1). Departure: an
    interval of the mean instead of a test of differences. Raises ValueError for fewer than two scores.
    """
    count = len(scores)
    if count < 2:
        raise ValueError(f"an interval needs at least two scores, not {count}")
    mean, variance = statistics.fmean(scores), max(statistics.variance(scores), least_variance)
    half = student_t_quantile(confidence, count - 1) * math.sqrt((1 / count + test_to_train) * variance)
    return mean - half, mean + half


def overlap(folds: int) -> float:
    """Test examples per training example in a cross-validation; 0 without one, where runs count as independent."""
    return 1 / (folds - 1) if folds > 1 else 0.0


def fold_interval(
    accuracies: Sequence[float], num_folds: int, right: float, photos: float, confidence: float
) -> tuple[float, float]:
    """`resampled_interval` of accuracies on one fold each, where each repeat got `right` of the `photos` right.

    A fold's accuracy varies at least as much as that of as many independent photos; the variance of a few small folds
    often comes out lower, and is 0 if they agree.
    """
    least = trial_variance(right, photos) / (photos / num_folds)
    return resampled_interval(accuracies, overlap(num_folds), confidence, least)


def wilson_interval(successes: int, count: int, confidence: float) -> tuple[float, float]:
    """Confidence interval of a probability, from `successes` in `count` independent trials; it stays inside [0, 1].

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22. Raises ValueError for no trials.
    """
    if not 0 <= successes <= count or count < 1:
        raise ValueError(f"{successes} successes in {count} trials")
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    share, width = successes / count, z * z / count
    middle = (share + width / 2) / (1 + width)
    half = math.sqrt(share * (1 - share) * width + width * width / 4) / (1 + width)
    return max(0.0, middle - half), min(1.0, middle + half)


def trial_variance(successes: float, count: float) -> float:
    """Variance of one trial, p · (1 - p), from `successes` in `count` trials: p is (successes + 2) / (count + 4).

    It is above 0 even if all trials succeed. Source: Agresti & Coull 1998, "Approximate is better than 'exact' for
    interval estimation of binomial proportions", The American Statistician 52.
    """
    p = (successes + 2) / (count + 4)
    return p * (1 - p)


def expected_best(scores: Sequence[float], count: int, mode: str) -> float:
    """The expected best of `count` of these scores, drawn without replacement: `max` or `min` says which is best.

    Σ C(i - 1, n - 1) / C(N, n) · v_i over the sorted scores v_1 ≤ … ≤ v_N (for `max`), the mean of the best over all
    subsets of n. It estimates without bias the expected best result of n runs with random settings.

    Source: Dodge et al. 2019, "Show Your Work: Improved Reporting of Experimental Results", eq. 4 to 7, draws with
    replacement, Σ v · (P(V ≤ v)^n - P(V < v)^n), which is biased towards bad scores; this is the correction by Tang et
    al. 2020, "Showing Your Work Doesn't Always Work". Raises ValueError if there are not so many scores.
    """
    if not 1 <= count <= len(scores):
        raise ValueError(f"the best of {count} of {len(scores)} scores")
    ordered = sorted(scores, reverse=mode == "min")
    subsets = math.comb(len(scores), count)
    return math.fsum(math.comb(i, count - 1) / subsets * score for i, score in enumerate(ordered))
