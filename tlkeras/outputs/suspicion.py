"""Labels that are likely wrong: what the other examples' features say of each."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

FOLDS = 5

# Inverse strengths of the classifiers' regularization that are tried.
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)

_DIMENSIONS = 256

# The covariance of more channels, as a "flatten" head takes (25,088 of VGG16), would
# fill memory.
_WIDE = 5000

# The share of examples whose targets are as far from their prediction.
_RARE = 0.01


class Wrong(NamedTuple):
    """A label that is likely wrong.

    Attributes:
        row: Number of the example.
        given: Its label.
        likely: The label that the other examples speak for.
        score: From 0 (surely wrong) to 1 (surely right).
    """

    row: int
    given: str
    likely: str
    score: float


def wrong_classes(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    class_names: Sequence[str],
) -> list[Wrong]:
    """Returns the examples that are taken for another class, ranked.

    Args:
        features: Float `(n, channels)`.
        labels: Class numbers `(n,)`.
        groups: A number for each example, the same for duplicates.
        class_names: The classes' names.
    """
    judged = np.flatnonzero(_with_several(labels, groups))
    labels = labels[judged]
    if len(np.unique(labels)) < 2:
        return []
    probabilities = _out_of_fold(
        features[judged], labels, groups[judged], len(class_names)
    )
    own, others = _own_and_others(probabilities, labels)
    likely, scores = others.argmax(axis=1), (own - others.max(axis=1) + 1) / 2
    ranked = np.argsort(scores, kind="stable")
    return [
        Wrong(
            int(judged[i]),
            class_names[labels[i]],
            class_names[likely[i]],
            float(scores[i]),
        )
        for i in ranked
        if scores[i] < 0.5
    ]


def _own_and_others(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probability of each label, and of the others (of its own, -1)."""
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -1
    return probabilities[rows, labels], others


def _is_confident(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns which examples lie off the diagonal of the confident joint, bool `(n,)`.

    Another class is at least as likely for them as it is, on average, for the examples
    that have its label.
    """
    own, others = _own_and_others(probabilities, labels)
    usual = np.full(probabilities.shape[1], np.inf)
    for i in np.unique(labels):
        usual[i] = own[labels == i].mean()
    return np.where(others >= usual, others, -1).max(axis=1) > own


def _with_several(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Returns which examples have others of their class that are no duplicates."""
    return _groups_by_class(labels, groups)[labels] > 1


def _groups_by_class(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Returns how many groups of duplicates each class has, by its number."""
    pairs = np.unique(np.stack([labels, groups], axis=1), axis=0)
    return np.bincount(pairs[:, 0])


def _out_of_fold(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int
) -> np.ndarray:
    """Returns class probabilities by classifiers that did not see the example.

    Nor did they see its duplicates. The regularization is the one with the lowest
    cross-entropy. What is then confidently wrong is left out of a second fit, where
    it would speak for others like it.

    Returns:
        float `(n, classes)`.
    """
    from sklearn.linear_model import LogisticRegression

    folds, features = list(_folds(labels, groups)), _few_dimensions(features)

    def predicted(strength: float, trusted: np.ndarray) -> np.ndarray:
        found = np.full((len(labels), classes), 1 / classes)
        for fitted, held_out in folds:
            fitted = fitted[trusted[fitted]]
            if len(np.unique(labels[fitted])) > 1:
                classifier = LogisticRegression(C=strength, max_iter=1000)
                classifier.fit(features[fitted], labels[fitted])
                found[held_out] = 0
                columns = np.ix_(held_out, classifier.classes_)
                found[columns] = classifier.predict_proba(features[held_out])
        return found

    everything = np.ones(len(labels), bool)
    tried = {strength: predicted(strength, everything) for strength in _STRENGTHS}
    best = min(tried, key=lambda strength: _cross_entropy(tried[strength], labels))
    return predicted(best, ~_is_confident(tried[best], labels))


def _cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    own, _ = _own_and_others(probabilities, labels)
    return float(-np.log(np.maximum(own, 1e-7)).mean())


def _folds(
    labels: np.ndarray, groups: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the positions to fit and to judge, every group on one side."""
    from sklearn.model_selection import StratifiedGroupKFold

    smallest = _groups_by_class(labels, groups)[np.unique(labels)].min()
    count = int(min(FOLDS, max(2, smallest)))
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    yield from folds.split(labels, labels, groups)


def _few_dimensions(features: np.ndarray) -> np.ndarray:
    """Returns standardized features in at most `_DIMENSIONS` principal components."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    few = principal_components(features, _DIMENSIONS)
    return make_pipeline(StandardScaler(), few).fit_transform(features)


def wrong_rows(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    class_names: Sequence[str],
) -> list[Wrong]:
    """Returns what is suspected of each label by itself, ranked."""
    features, found = _few_dimensions(features), []
    for name, column in zip(class_names, labels.T.astype(int), strict=True):
        names = (f"without {name!r}", f"with {name!r}")
        found += wrong_classes(features, column, groups, names)
    return sorted(found, key=lambda wrong: wrong.score)


def wrong_targets(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> list[Wrong]:
    """Returns the targets that are unusually far from their prediction, ranked."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold, cross_val_predict

    count = min(FOLDS, len(np.unique(groups)))
    if count < 2:
        return []
    targets = labels.reshape(len(labels), -1).astype(float)
    model, features = RidgeCV(np.logspace(0, 5, 6)), _few_dimensions(features)
    folds = GroupKFold(count, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, features, targets, groups=groups, cv=folds)
    predicted = predicted.reshape(targets.shape)
    apart = np.abs(targets - predicted)
    # The tail of a Laplace distribution with the same median of absolute residuals.
    scores = 2.0 ** -(apart / np.maximum(np.median(apart, axis=0), 1e-12))
    worst = scores.min(axis=1).tolist()
    return [
        Wrong(i, _numbers(targets[i]), _numbers(predicted[i]), worst[i])
        for i in np.argsort(worst, kind="stable").tolist()
        if worst[i] < _RARE
    ]


def _numbers(row: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in row)


def principal_components(vectors: np.ndarray, most: int) -> Any:
    """Returns the `sklearn.decomposition.PCA` that suits vectors, not fitted.

    Args:
        vectors: `(n, channels)`.
        most: Components at most.
    """
    from sklearn.decomposition import PCA

    solver = "covariance_eigh" if vectors.shape[1] <= _WIDE else "randomized"
    return PCA(min(most, *vectors.shape), svd_solver=solver, random_state=0)
