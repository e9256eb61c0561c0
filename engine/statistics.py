"""Intervals that say how sure a mean is."""

import math
from typing import TYPE_CHECKING

from scipy.special import stdtrit

if TYPE_CHECKING:
    from torch import Tensor


def student_t_quantile(probability: float, degrees: int) -> float:
    """The t > 0 such that Student's t with `degrees` of freedom lies within ±t with `probability`, in (0, 1)."""
    return float(stdtrit(degrees, (1 + probability) / 2))


def resampled_interval(scores: "Tensor", test_to_train: float, confidence: float) -> tuple[float, float]:
    """Confidence interval of the expected score, from scores (J,) of trainings whose data overlap.

    mean ± t · √((1/J + n_test/n_train) · s²), with s² the scores' variance (over J - 1) and t Student's quantile with
    J - 1 degrees of freedom. Plain Student's interval has 1/J alone, as if each score came from fresh data: with ever
    more repeats of a cross-validation on the same data it would shrink to nothing.

    Source: the corrected resampled t-test of Nadeau & Bengio 2003, "Inference for the generalization error", Machine
    Learning 52, as Bouckaert & Frank 2004, "Evaluating the replicability of significance tests for comparing learning
    algorithms", apply it to r times k-fold cross-validation: J = k · r, n_test/n_train = 1 / (k - 1). Here it is turned
    from a test of differences into an interval of the mean. ValueError for fewer than two scores.
    """
    count = scores.numel()
    if count < 2:
        raise ValueError(f"an interval needs two scores or more, not {count}")
    half = student_t_quantile(confidence, count - 1) * math.sqrt((1 / count + test_to_train) * float(scores.var()))
    return float(scores.mean()) - half, float(scores.mean()) + half
