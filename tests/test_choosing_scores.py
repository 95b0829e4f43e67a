"""LogME, H-score and the linear probe, against numbers that are found otherwise."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from tlkeras.choosing.scores import h_score, log_me
from tlkeras.linear import Targets, probe
from tlkeras.linear.fitting import solve


def features_and_classes(n, width, classes=3, apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    numbers = np.arange(n) % classes
    centres = rng.normal(0, apart, (classes, width))
    return centres[numbers] + rng.normal(1, 1, (n, width)), numbers


def evidence_by_density(features, column):
    """Returns the largest log evidence: of the labels' own normal density, searched."""
    gram = features @ features.T

    def unlikely(logs):
        covariance = np.exp(-logs[1]) * np.eye(len(gram)) + np.exp(-logs[0]) * gram
        zeros = np.zeros(len(gram))
        return -multivariate_normal.logpdf(column, zeros, covariance)

    starts = [(1.0, 2.0), (5.0, 1.0)]
    found = [minimize(unlikely, s, method="Nelder-Mead").fun for s in starts]
    return -min(found) / len(gram)


@pytest.mark.parametrize("n, width", [(30, 4), (16, 40)])
def test_log_me_is_the_largest_evidence(n, width):
    features, numbers = features_and_classes(n, width)
    columns = np.eye(3)[numbers]
    expected = np.mean([evidence_by_density(features, c) for c in columns.T])
    assert log_me(features, columns) == pytest.approx(expected, abs=1e-4)
    # A class that no example is of says nothing.
    with_empty = np.hstack([columns, np.zeros((n, 1))])
    assert log_me(features, with_empty) == pytest.approx(log_me(features, columns))
    assert np.isnan(log_me(features, with_empty[:, 3:]))


def published_log_me(features, columns):
    """Returns LogME as its authors' fixed-point algorithm finds it (n > width)."""
    n, width = features.shape
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    squared, found = singular**2, []
    for column in columns.T:
        inside = (left.T @ column) ** 2
        outside = (column**2).sum() - inside.sum()
        alpha = beta = 1.0
        for _ in range(500):
            ratio = alpha / beta
            used = (squared / (squared + ratio)).sum()
            misfit = (inside * ratio**2 / (squared + ratio) ** 2).sum() + outside
            weights = (inside * squared / (squared + ratio) ** 2).sum()
            alpha, beta = used / weights, (n - used) / misfit
        determinant = np.log(alpha + beta * squared).sum()
        evidence = width / 2 * np.log(alpha) + n / 2 * np.log(beta) - determinant / 2
        evidence -= beta / 2 * misfit + alpha / 2 * weights + n / 2 * np.log(2 * np.pi)
        found.append(evidence / n)
    return np.mean(found)


def test_log_me_is_what_the_published_algorithm_gives():
    features, numbers = features_and_classes(60, 8)
    columns = np.eye(3)[numbers]
    expected = published_log_me(features, columns)
    assert log_me(features, columns) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("n, width", [(60, 5), (20, 40)])
def test_h_score_is_that_of_the_shrunk_covariance(n, width):
    features, numbers = features_and_classes(n, width)
    shrunk = LedoitWolf().fit(features)
    means = np.stack([features[numbers == c].mean(0) for c in range(3)])
    between = np.cov(means[numbers], rowvar=False)
    both = np.linalg.pinv(shrunk.covariance_, rcond=1e-15) @ between
    expected = (1 - shrunk.shrinkage_) * np.trace(both)
    assert h_score(features, numbers) == pytest.approx(expected, rel=1e-6)


def test_scores_tell_features_that_know_from_those_that_do_not():
    near, numbers = features_and_classes(90, 10, apart=2.0)
    far, _ = features_and_classes(90, 10, apart=0.1)
    columns = np.eye(3)[numbers]
    assert log_me(near, columns) > log_me(far, columns)
    assert h_score(near, numbers) > h_score(far, numbers)


def test_a_probe_tells_what_solving_each_fold_gives():
    features, numbers = features_and_classes(90, 5, apart=0.7)
    targets = Targets(np.eye(3)[numbers], np.ones((90, 1)), "softmax", numbers)
    found = probe(features, targets)
    assert (found.measure, found.folds) == ("accuracy", 5)
    held = np.arange(90) % 5 == np.arange(90) // 18
    solution = solve(features[~held], targets.at(np.flatnonzero(~held)))
    logits = features[held] @ solution.kernel + solution.bias
    other = accuracy_score(numbers[held], logits.argmax(1))
    assert found.quality == pytest.approx(other, abs=0.2)
    assert 1 / 3 < found.quality < 1


def test_a_probe_measures_labels_and_numbers_in_their_own_ways():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 4))
    noisy = features[:, :2] + rng.normal(0, 0.5, (200, 2))
    rows = (noisy > 0).astype(float)
    labels = probe(features, Targets(rows, np.ones((200, 2)), "sigmoid"))
    by_hand = [roc_auc_score(rows[:, i], features[:, i]) for i in range(2)]
    assert labels.measure == "AUC"
    assert labels.quality == pytest.approx(np.mean(by_hand), abs=0.02)
    numbers = probe(features, Targets(1e6 * noisy, np.ones((200, 1)), "identity"))
    assert numbers.measure == "R2"
    by_hand = r2_score(noisy, features[:, :2])
    assert numbers.quality == pytest.approx(by_hand, abs=0.03)


def test_where_nothing_can_be_held_out_a_probe_says_so():
    one_class = Targets(np.ones((5, 1)), np.ones((5, 1)), "softmax", np.zeros(5, int))
    found = probe(np.ones((5, 2)), one_class)
    assert np.isnan(found.quality) and found.folds == 0
