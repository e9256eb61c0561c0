"""What a linear classifier on frozen features reveals about a data set's labels and its size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS = 5
SHARES = (0.25, 0.5, 1.0)
STRENGTH = 1e-3
"""Inverse strength of the L2 penalty, small because features are many and photos few."""

NEIGHBOURS = 5
FAR = 4.0
"""Distance from the median, in robust standard deviations, beyond which a photo counts as an outlier."""

ENOUGH = 5
"""Photos needed per class, one for each fold."""


class Curve(NamedTuple):
    """Cross-validated accuracy after training on a share of the photos: mean and standard error over the folds."""

    share: float
    photos: int
    accuracies: list[float]


def out_of_fold(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities (N, K) of the classes 0 to K - 1, each photo's predicted by a model trained on the other folds."""
    probabilities = np.zeros((len(labels), labels.max() + 1))
    for train, held_out in _folds(features, labels, seed):
        model = _model().fit(features[train], labels[train])
        probabilities[np.ix_(held_out, model.classes_)] = model.predict_proba(features[held_out])
    return probabilities


def doubtful(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """Positions of photos that more probably belong to another class, the most certain first.

    They are ordered by the normalized margin, the given label's probability minus the highest other one (Northcutt et
    al. 2021, Confident Learning, arXiv 1911.00068, section 3.3).
    """
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -1
    margins = probabilities[rows, labels] - others.max(axis=1)
    return [int(position) for position in margins.argsort(kind="stable") if margins[position] < 0]


def outliers(features: np.ndarray) -> list[int]:
    """Positions of photos that are far from all others, the farthest first.

    Distance is the mean of 1 - cosine over the NEIGHBOURS nearest photos.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    count = min(NEIGHBOURS, len(unit) - 1)
    distances = np.concatenate(
        [
            1
            - np.sort(np.partition(unit[start : start + 1024] @ unit.T, -count - 1, axis=1)[:, -count - 1 : -1]).mean(1)
            for start in range(0, len(unit), 1024)
        ]
    )
    spread = 1.4826 * np.median(np.abs(distances - np.median(distances)))
    scores = (distances - np.median(distances)) / max(spread, 1e-12)
    return [int(position) for position in (-scores).argsort(kind="stable") if scores[position] > FAR]


def learning_curve(features: np.ndarray, labels: np.ndarray, seed: int) -> list[Curve]:
    """Accuracy on held-out folds after training on each of SHARES of the other folds."""
    order = np.random.default_rng(seed)
    curves = {share: Curve(share, round(share * len(labels) * (FOLDS - 1) / FOLDS), []) for share in SHARES}
    for train, held_out in _folds(features, labels, seed):
        mixed = order.permutation(train)
        for share, curve in curves.items():
            part = np.concatenate(
                [of_class[: max(1, round(share * len(of_class)))] for of_class in _by_class(mixed, labels)]
            )
            model = _model().fit(features[part], labels[part])
            curve.accuracies.append(float((model.predict(features[held_out]) == labels[held_out]).mean()))
    return list(curves.values())


def would_more_help(curves: Sequence[Curve]) -> str:
    """Says in a sentence how much the last doubling of the data improved accuracy."""
    half, whole = curves[-2], curves[-1]
    gains = 100 * (np.array(whole.accuracies) - np.array(half.accuracies))
    mean, error = gains.mean(), gains.std(ddof=1) / len(gains) ** 0.5
    told = f"Twice the photos ({half.photos:,}, then {whole.photos:,}) change that by {mean:+.1f} ± {error:.1f} points"
    if mean > 2 * error and mean >= 0.5:
        return f"{told}: more photos should help."
    return f"{told}: " + ("more photos would hardly help." if error <= 1 else "too few photos to tell.")


def _by_class(positions: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    return [positions[labels[positions] == label] for label in np.unique(labels)]


def _folds(features: np.ndarray, labels: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels))


def _model() -> LogisticRegression:
    return make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=300))
