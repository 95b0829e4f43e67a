"""What a model is worth on data without labels, as far as that can be told."""

from typing import NamedTuple

import numpy as np

from tlkeras.adapting.streams import Answers

# Of Saito et al.: what similarities are divided by.
_TEMPERATURE = 0.05
# Rows that scores are made of at most, and directions that ratios are made of.
_ROWS, _DIRECTIONS = 2_000, 50
# No source example stands for more target examples than this.
_MOST_WEIGHT = 20.0


class Scores(NamedTuple):
    """What is known of a model without target labels.

    Attributes:
        source: Accuracy on validation examples of the source.
        weighted: The same, each example weighed by how like the target it is.
        density: Soft neighbourhood density of the answers on the target: larger where
            they form close groups.
        certainty: From 0 to 1: how far the answers on the target are from even.
        information: From 0 to 1: what the answers tell apart: the entropy of their
            mean less their mean entropy, of what is possible.
    """

    source: float
    weighted: float
    density: float
    certainty: float
    information: float

    @property
    def unevenness(self) -> float:
        """From 0 to 1: how far the mean of all answers is from even."""
        return self.certainty - self.information


def judge(
    validation: Answers,
    target: Answers,
    said: tuple[np.ndarray, np.ndarray],
    numbers: np.ndarray,
    seed: int,
) -> Scores:
    """Returns the scores of a model.

    Args:
        validation: What it says of validation examples of the source.
        target: What it says of the target.
        said: Its probabilities of classes for both.
        numbers: Class numbers of the validation examples, -1 where missing.
        seed: Of what is drawn.

    Reference:
        Sugiyama et al., Covariate Shift Adaptation by Importance Weighted Cross
        Validation (2007); Saito et al., Tune it the Right Way: Unsupervised Validation
        of Domain Adaptation via Soft Neighborhood Density (2021); Bridle et al.,
        Unsupervised Classifiers, Mutual Information and Phantom Targets (1991).
    """
    known = numbers >= 0
    right = said[0][known].argmax(axis=1) == numbers[known]
    weights = _ratios(validation.features, target.features)[known]
    shares = said[1]
    most = np.log(shares.shape[1])
    entropy = _entropy(shares).mean() / most
    return Scores(
        source=float(right.mean()),
        weighted=float(np.average(right, weights=weights)),
        density=_density(shares, seed),
        certainty=float(1 - entropy),
        information=float(_entropy(shares.mean(axis=0)[None])[0] / most - entropy),
    )


def _entropy(shares: np.ndarray) -> np.ndarray:
    return -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)


def _density(shares: np.ndarray, seed: int) -> float:
    rows = np.random.default_rng(seed).permutation(len(shares))[:_ROWS]
    some = shares[rows] / np.linalg.norm(shares[rows], axis=1, keepdims=True)
    like = some @ some.T / _TEMPERATURE
    np.fill_diagonal(like, -np.inf)
    like = np.exp(like - like.max(axis=1, keepdims=True))
    return float(_entropy(like / like.sum(axis=1, keepdims=True)).mean())


def _ratios(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns for each source row how much likelier it is in the target, mean 1."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.concatenate([source, target])
    count = min(_DIRECTIONS, *rows.shape)
    is_target = np.repeat([0, 1], [len(source), len(target)])
    model = make_pipeline(
        StandardScaler(),
        PCA(count, svd_solver="randomized", random_state=0),
        LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000),
    )
    odds = np.exp(model.fit(rows, is_target).decision_function(source))
    return np.minimum(odds / odds.mean(), _MOST_WEIGHT)
