"""Two samples of vectors: whether they differ, how much, and by what chance."""

from dataclasses import dataclass

import numpy as np

# Relabelings of the rows: the smallest p-value is one divided by this and one more.
PERMUTATIONS = 499
_FOLDS = 10
# Widths of the kernels, as multiples of the median distance.
_WIDTHS = (0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class TwoSamples:
    """What two tests say of two samples.

    Attributes:
        accuracy: Of a linear classifier that tells the samples apart, the mean of the
            shares of both that it is right on, in cross-validation: 0.5 is chance.
        p_accuracy: How often a random relabeling of the rows does as well.
        mmd: The squared maximum mean discrepancy, unbiased: about 0 where the samples
            are alike, below it by chance.
        p_mmd: As `p_accuracy`.
        scores: What the classifier gives the rows of the second sample, held out:
            larger is less like the first one.
    """

    accuracy: float
    p_accuracy: float
    mmd: float
    p_mmd: float
    scores: np.ndarray

    @property
    def a_distance(self) -> float:
        """The proxy A-distance, from 0 (cannot be told apart) to 2.

        Reference:
            Ben-David et al., Analysis of Representations for Domain Adaptation (2006).
        """
        return max(0.0, 2 * (2 * self.accuracy - 1))

    @property
    def p(self) -> float:
        """The smaller p-value of the two tests, doubled because there are two."""
        return min(1.0, 2 * min(self.p_accuracy, self.p_mmd))


def compare(first: np.ndarray, second: np.ndarray, seed: int) -> TwoSamples:
    """Tests whether two samples are of one distribution.

    A classifier sees differences of means, kernels those of spreads and shapes, too.
    Both p-values are exact, of the same relabelings of the rows.

    Args:
        first: `(n, width)`, at least 2 rows.
        second: `(m, width)`, the same.
        seed: Seed of the relabelings and folds.

    Reference:
        Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (2017); Gretton et
        al., A Kernel Two-Sample Test (2012).
    """
    rows = _standardised(np.concatenate([first, second]))
    random = np.random.default_rng(seed)
    is_second = np.repeat([False, True], [len(first), len(second)])
    # The first column is how it is, the others how it could be by chance.
    columns = np.stack(
        [is_second, *(random.permutation(is_second) for _ in range(PERMUTATIONS))],
        axis=1,
    )
    scores = _held_out(rows, columns, random)
    accuracies = _balanced(scores, columns)
    mmds = _mmd(_kernel(rows), columns)
    return TwoSamples(
        float(accuracies[0]),
        _p(accuracies),
        float(mmds[0]),
        _p(mmds),
        scores[is_second, 0],
    )


def _p(values: np.ndarray) -> float:
    # Rounding must not make a relabeling that changes nothing a worse one.
    return float(np.mean(values >= values[0] - 1e-9))


def _standardised(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, "float64")
    rows = rows - rows.mean(axis=0)
    scale = rows.std(axis=0)
    return rows / np.where(scale > 1e-12, scale, 1.0)


def _held_out(
    rows: np.ndarray, columns: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Returns the scores of held-out rows, of one ridge regression for each column.

    All of them in closed form: what a fold is predicted without it follows from the
    residuals of the fit to all rows.
    """
    count, width = rows.shape
    designed = np.hstack([rows, np.ones((count, 1))])
    penalty = np.full(width + 1, float(width))
    penalty[-1] = 1e-6
    if width < count:
        hat = designed @ np.linalg.solve(
            designed.T @ designed + np.diag(penalty), designed.T
        )
    else:
        gram = (designed / penalty) @ designed.T
        hat = np.linalg.solve(gram + np.eye(count), gram).T
    shares = columns.mean(axis=0)
    # As if both samples were equally large.
    targets = np.where(columns, 1 - shares, -shares)
    residuals = targets - hat @ targets
    found = np.empty_like(targets)
    for fold in np.array_split(random.permutation(count), min(_FOLDS, count)):
        inside = np.eye(len(fold)) - hat[np.ix_(fold, fold)]
        found[fold] = targets[fold] - np.linalg.solve(inside, residuals[fold])
    return found


def _balanced(scores: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the balanced accuracy of each column, cut midway between the means."""
    ones, zeros = columns.sum(axis=0), (~columns).sum(axis=0)
    high = np.where(columns, scores, 0).sum(axis=0) / ones
    low = np.where(columns, 0, scores).sum(axis=0) / zeros
    above = scores > (high + low) / 2
    right = (above & columns).sum(axis=0) / ones
    return (right + (~above & ~columns).sum(axis=0) / zeros) / 2


def _kernel(rows: np.ndarray) -> np.ndarray:
    squares = (rows**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    middle = np.median(distances[np.triu_indices(len(rows), 1)]) or 1.0
    kernel = sum(np.exp(-distances / (2 * middle * w**2)) for w in _WIDTHS)
    np.fill_diagonal(kernel, 0)
    return kernel / len(_WIDTHS)


def _mmd(kernel: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the unbiased squared discrepancy of each column."""
    ones = columns.astype("float64")
    n, m = ones.sum(axis=0), (1 - ones).sum(axis=0)
    reached = kernel @ ones
    inside = (ones * reached).sum(axis=0)
    across = ((1 - ones) * reached).sum(axis=0)
    outside = kernel.sum() - inside - 2 * across
    return inside / (n * (n - 1)) + outside / (m * (m - 1)) - 2 * across / (n * m)
