"""`probe`: how well a linear model does on rows that were held out."""

import math
from dataclasses import dataclass

import numpy as np

from tlkeras.linear.fitting import few_threads, prepared
from tlkeras.linear.strength import choose_strength
from tlkeras.linear.targets import Targets

# Of no more rows than this folds are drawn several times where a class has few.
_FEW_ROWS = 200


@dataclass(frozen=True)
class Probe:
    """What cross-validation says of features.

    Attributes:
        quality: Of exclusive classes the accuracy, of labels the mean area under their
            ROC curves, of numbers the mean share of their variance that is explained.
            NaN where nothing could be held out.
        measure: Which of these, in a word.
        loss: The mean loss: cross-entropy, or half of the share of the variance that
            stays unexplained.
        folds: How many fits there were.
    """

    quality: float
    measure: str
    loss: float
    folds: int


def probe(
    features: np.ndarray,
    targets: Targets,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Probe:
    """Cross-validates what `solve` would find.

    The strength of the penalty and the scale are those with the least loss on the same
    rows: two numbers of all of them, so that the figures are hardly too good.

    Args:
        features: `(n, width)`.
        targets: What is to be learnt of each row.
        groups: int `(n,)`; rows of one group are held out together.
        seed: Seed of the folds.

    Returns:
        A `Probe`.

    Raises:
        ValueError: If features are not finite.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = np.eye(2)[(x[:, 0] > 0).astype(int)]
    >>> targets = Targets(y, np.ones((60, 1)), "softmax", y[:, 0].astype(int))
    >>> probe(x, targets).quality > 0.9
    True

    Reference:
        Alain and Bengio, Understanding intermediate layers using linear classifier
        probes (2016).
    """
    measure, quality = _QUALITIES[targets.link]
    rows, targets, groups, _ = prepared(features, targets, groups)
    with few_threads(rows):
        choice = choose_strength(
            rows,
            targets,
            groups,
            seed,
            progress=lambda done, total: None,
            # To compare features one draw of many rows tells enough.
            repeated=len(targets) <= _FEW_ROWS,
        )
    if not choice.held_out:
        return Probe(math.nan, measure, math.nan, 0)
    held, logits = zip(*choice.held_out, strict=True)
    values = np.concatenate([one.values for one in held])
    weights = np.concatenate([one.weights for one in held])
    found = quality(values, np.concatenate(logits), weights)
    return Probe(float(found), measure, float(choice.loss), choice.folds)


def _accuracy(values: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> float:
    right = values[np.arange(len(values)), logits.argmax(axis=1)]
    return np.average(right, weights=weights[:, 0]) if weights.any() else math.nan


def _mean_auc(values: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    weights = np.broadcast_to(weights, values.shape)
    found = []
    for truth, scores, counts in zip(values.T, logits.T, weights.T, strict=True):
        known = counts > 0
        truth = truth[known] > 0.5
        if truth.any() and not truth.all():
            found.append(
                roc_auc_score(truth, scores[known], sample_weight=counts[known])
            )
    return np.mean(found) if found else math.nan


def _explained(values: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> float:
    weights = np.broadcast_to(weights, values.shape)
    total = np.maximum(weights.sum(axis=0), 1e-300)
    mean = (weights * values).sum(axis=0) / total
    spread = (weights * (values - mean) ** 2).sum(axis=0)
    left = (weights * (values - logits) ** 2).sum(axis=0)
    return np.mean((1 - left / np.maximum(spread, 1e-300))[spread > 0])


_QUALITIES = {
    "softmax": ("accuracy", _accuracy),
    "sigmoid": ("AUC", _mean_auc),
    "identity": ("R2", _explained),
}
