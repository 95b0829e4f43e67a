"""Scores of how well features suit labels without training: LogME and the H-score."""

import numpy as np

# Ratios of noise to prior between which the evidence has its maximum, in powers of ten
# of the largest and the smallest squared singular value, and how many are tried first.
_BEYOND, _TRIED = 4.0, 65


def log_me(features: np.ndarray, columns: np.ndarray) -> float:
    """Returns LogME: the log of the maximum evidence of a Bayesian linear model.

    For each column the weights have the prior N(0, 1/alpha) and the labels the noise
    N(0, 1/beta); alpha and beta are those under which the labels are likeliest, all
    weights integrated out. It is the mean over the columns, per example.

    Args:
        features: `(n, width)`, as they are: neither centred nor scaled.
        columns: `(n, k)`: numbers, or classes or labels as zeros and ones. Columns that
            are the same everywhere say nothing and are left out.

    Returns:
        A number, the higher the better; NaN where no column says anything.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> log_me(x, x[:, :1] > 0) > log_me(x, x[::-1, :1] > 0)
    True

    Reference:
        You et al., LogME: Practical Assessment of Pre-trained Models for Transfer
        Learning (2021).
    """
    columns = np.asarray(columns, "float64")
    columns = columns[:, np.ptp(columns, axis=0) > 0]
    if not columns.size:
        return float("nan")
    left, singular, _ = np.linalg.svd(
        np.asarray(features, "float64"), full_matrices=False
    )
    inside = (left.T @ columns) ** 2
    outside = np.maximum((columns**2).sum(axis=0) - inside.sum(axis=0), 0.0)
    known = singular > singular[0] * 1e-10
    evidence = [
        _largest_evidence(len(columns), singular[known] ** 2, column[known], rest)
        for column, rest in zip(inside.T, outside + inside[~known].sum(0), strict=True)
    ]
    return float(np.mean(evidence))


def _largest_evidence(
    count: int, squared: np.ndarray, inside: np.ndarray, outside: float
) -> float:
    """Returns the largest log evidence per example, over both precisions.

    For a ratio of them, alpha to beta, the best beta is known: one is to be found.

    Args:
        count: How many examples there are.
        squared: The squared singular values of the features.
        inside: The labels' squared coordinates along the left singular vectors.
        outside: What is left of their squared norm.
    """
    from scipy.optimize import minimize_scalar

    if not len(squared):
        # Features that are all zero: labels are noise.
        return float(-(np.log(2 * np.pi * outside / count) + 1) / 2)

    def evidence(exponents: np.ndarray) -> np.ndarray:
        ratio = np.power(10.0, np.atleast_1d(exponents))[:, None]
        misfit = (inside * ratio / (ratio + squared)).sum(axis=1) + outside
        misfit = np.maximum(misfit, np.finfo("float64").tiny)
        volume = np.log1p(squared / ratio).sum(axis=1)
        return -(np.log(2 * np.pi * misfit / count) + 1 + volume / count) / 2

    low = np.log10(squared.min()) - _BEYOND
    high = np.log10(squared.max()) + _BEYOND
    tried, step = np.linspace(low, high, _TRIED, retstep=True)
    best = tried[np.argmax(evidence(tried))]
    found = minimize_scalar(
        lambda exponent: -evidence(exponent)[0],
        bounds=(best - step, best + step),
        method="bounded",
    )
    return float(-found.fun)


def h_score(features: np.ndarray, classes: np.ndarray) -> float:
    """Returns the H-score: how far apart classes' means are, by the features' spread.

    It is the trace of `inverse(covariance of features) @ covariance of class means`.
    With few examples the covariance is not known well: it is shrunk towards a multiple
    of the identity by what Ledoit and Wolf find best, and the score with it.

    Args:
        features: `(n, width)`.
        classes: Class numbers `(n,)`.

    Returns:
        A number from 0 to the number of classes less 1, the higher the better.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> h_score(x, x[:, 0] > 0) > h_score(x, x[::-1, 0] > 0)
    True

    Reference:
        Bao et al., An Information-Theoretic Approach to Transferability in Task
        Transfer Learning (2019); with shrinkage: Ibrahim et al., Newer is not always
        better: Rethinking transferability metrics, their peculiarities, stability and
        performance (2021).
    """
    features = np.asarray(features, "float64")
    count, width = features.shape
    features = features - features.mean(axis=0)
    # In the directions that the examples span; in all others both covariances are zero.
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    rotated, variances = left * singular, singular**2 / count
    shrinkage = _shrinkage(features, variances)
    _, places, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), rotated.shape[1]))
    np.add.at(sums, places, rotated)
    between = (sums**2 / sizes[:, None]).sum(axis=0) / max(1, count - 1)
    within = (1 - shrinkage) * variances + shrinkage * variances.sum() / width
    known = within > within.max(initial=0.0) * 1e-12
    return float((1 - shrinkage) * (between[known] / within[known]).sum())


def _shrinkage(centred: np.ndarray, variances: np.ndarray) -> float:
    """Returns how much Ledoit and Wolf would shrink a covariance, from 0 to 1.

    Args:
        centred: The features.
        variances: Their covariance's eigenvalues, but for zeros.

    Reference:
        Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional Covariance
        Matrices (2004).
    """
    count, width = centred.shape
    squares = (variances**2).sum()
    distance = squares / width - (variances.sum() / width) ** 2
    noise = (((centred**2).sum(axis=1) ** 2).mean() - squares) / (width * count)
    return float(min(noise, distance) / distance) if distance > 0 else 0.0
