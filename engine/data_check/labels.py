"""What a linear classifier of frozen features says of a data set's labels, and of its size."""

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
"""Inverse of the L2 penalty: features are many and photos few."""

NEIGHBOURS = 5
FAR = 4.0
"""Robust standard deviations beyond the median distance from which on a photo counts as an outlier."""

ENOUGH = 5
"""Photos that a class needs for all of this: one for each fold."""


class Curve(NamedTuple):
    """Cross-validated accuracy with a share of the training photos: mean and standard error over the folds."""

    share: float
    photos: int
    accuracies: list[float]


def out_of_fold(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities (N, K) of the classes 0 to K - 1, each photo's from the four folds that it is not in."""
    probabilities = np.zeros((len(labels), labels.max() + 1))
    for train, held_out in _folds(features, labels, seed):
        model = _model().fit(features[train], labels[train])
        probabilities[np.ix_(held_out, model.classes_)] = model.predict_proba(features[held_out])
    return probabilities


def doubtful(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """Positions of photos that are more probably of another class, the most certain first.

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

    By the mean distance to the NEIGHBOURS nearest photos, where distance is 1 - cosine.
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
    """Accuracy on held-out folds after training on SHARES of the others."""
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
    """What the last doubling of the data brought, in a sentence."""
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
