"""How well a linear model tells labels from features, cross-validated, from 0 to 1."""

import warnings
from typing import Any

import numpy as np

_FOLDS = 5
# Of many labels, how many are looked at.
_MOST_LABELS = 20
# Features beyond this width are projected, or the classifier would take minutes.
_WIDEST, _PROJECTED = 4_096, 256
# Inverse strength of the classifier's penalty on standardised features: at 1 it learns
# few examples with many features by heart.
_INVERSE_PENALTY = 0.01


def separability_of_classes(
    features: np.ndarray, numbers: np.ndarray, seed: int
) -> float | None:
    """Returns the balanced accuracy, between chance (0) and 1.

    Args:
        features: `(n, width)`.
        numbers: Class numbers `(n,)`.
        seed: Seed of the folds.

    Returns:
        A number from 0 to 1; `None` where there are too few examples.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    classes, sizes = np.unique(numbers, return_counts=True)
    kept = np.isin(numbers, classes[sizes >= 2])
    classes, sizes = classes[sizes >= 2], sizes[sizes >= 2]
    if len(classes) < 2:
        return None
    count = int(min(_FOLDS, sizes.min()))
    folds = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32)
    classifier = LogisticRegression(
        C=_INVERSE_PENALTY, class_weight="balanced", max_iter=300
    )
    scoring = "balanced_accuracy"
    score = _score(classifier, features[kept], numbers[kept], folds, scoring)
    chance = 1 / len(classes)
    return max(0.0, (score - chance) / (1 - chance))


def separability_of_labels(
    features: np.ndarray, rows: np.ndarray, seed: int
) -> float | None:
    """Returns the mean of what `separability_of_classes` says of each label.

    Args:
        features: `(n, width)`.
        rows: `(n, labels)` of 0 and 1.
        seed: Seed of the folds, and of which labels are looked at where there are many.
    """
    chosen = np.random.RandomState(seed % 2**32).permutation(rows.shape[1])
    scores = [
        separability_of_classes(features, rows[:, column].astype(int), seed)
        for column in chosen[:_MOST_LABELS]
    ]
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def separability_of_numbers(
    features: np.ndarray, targets: np.ndarray, seed: int
) -> float | None:
    """Returns the share of the targets' variance that is explained, or 0.

    Args:
        features: `(n, width)`.
        targets: `(n,)` or `(n, k)`.
        seed: Seed of the folds.

    Returns:
        A number from 0 to 1; `None` where there are too few examples.
    """
    if len(targets) < 2 * _FOLDS:
        return None
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    folds = KFold(_FOLDS, shuffle=True, random_state=seed % 2**32)
    ridge = RidgeCV(np.logspace(0, 5, 11))
    return max(0.0, _score(ridge, features, targets, folds, "r2"))


def _score(
    estimator: Any, features: np.ndarray, labels: np.ndarray, folds: Any, scoring: str
) -> float:
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [StandardScaler(), estimator]
    if features.shape[1] > _WIDEST:
        width = min(_PROJECTED, len(features) // 2)
        steps.insert(1, PCA(width, svd_solver="randomized", random_state=0))
    with warnings.catch_warnings():
        # Three bands of distance do not need the last digit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(
            make_pipeline(*steps), features, labels, cv=folds, scoring=scoring
        )
    return float(np.mean(scores))
