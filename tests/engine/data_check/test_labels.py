import numpy as np
import pytest

from engine.data_check import labels as module
from engine.data_check.labels import Curve, doubtful, learning_curve, out_of_fold, outliers, would_more_help


def clusters(count: int, *, seed: int = 0, distance: float = 4.0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, 20) around one centre per class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return rng.normal(size=(count, 20)) + distance * np.eye(20)[labels], labels


def test_no_photo_is_judged_by_a_model_that_has_seen_it() -> None:
    """With labels drawn at random, such a model would remember them: more features than photos."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 400)), rng.integers(0, 2, 60)
    probabilities = out_of_fold(features, labels, seed=0)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == labels).mean() < 0.7


def test_swapped_labels_come_first() -> None:
    features, labels = clusters(150, distance=8)
    swapped = np.random.default_rng(1).choice(150, 10, replace=False)
    given = labels.copy()
    given[swapped] = (labels[swapped] + 1) % 3
    assert set(doubtful(out_of_fold(features, given, seed=0), given)[:10]) == set(swapped.tolist())


def test_doubtful_is_ordered_by_the_margin() -> None:
    probabilities = np.array([[0.1, 0.9], [0.6, 0.4], [0.45, 0.55], [0.02, 0.98]])
    assert doubtful(probabilities, np.array([0, 0, 0, 0])) == [3, 0, 2]


def test_outliers() -> None:
    features, _ = clusters(100)
    features[17] = -30 * np.ones(20)
    assert outliers(features)[0] == 17
    assert outliers(clusters(100)[0]) == []


def test_a_learning_curve_on_an_easy_and_a_hard_problem() -> None:
    easy = learning_curve(*clusters(200, distance=10), seed=0)
    assert [curve.photos for curve in easy] == [40, 80, 160]
    assert easy[-1].accuracies == [1.0] * module.FOLDS
    assert "hardly help" in would_more_help(easy)
    assert len(clusters(200)[0]) == 200


@pytest.mark.parametrize(
    ("half", "whole", "says"),
    [
        ([0.80, 0.81, 0.79, 0.80, 0.80], [0.85, 0.86, 0.85, 0.84, 0.85], "+5.0 ± 0.3 points: more photos should help"),
        ([0.90, 0.91, 0.90, 0.90, 0.89], [0.90, 0.91, 0.90, 0.90, 0.89], "+0.0 ± 0.0 points: more photos would hardly"),
        ([0.50, 0.90, 0.60, 0.80, 0.70], [0.80, 0.60, 0.90, 0.50, 0.75], "too few photos to tell"),
    ],
)
def test_what_the_last_doubling_says(half: list[float], whole: list[float], says: str) -> None:
    assert says in would_more_help([Curve(0.5, 50, half), Curve(1.0, 100, whole)])
