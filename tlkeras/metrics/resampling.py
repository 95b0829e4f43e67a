"""Intervals and tests by resampling: seeded, and of groups where examples have some."""

from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
_RESAMPLES = 1000
_FLIPS = 9999
_SEED = 0
# More independent units than this are resampled in random blocks: the spread is the
# same, and a million examples cost no more than a few thousand.
_MOST_UNITS = 4000
_FLIPS_AT_ONCE = 1000


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def units(groups: np.ndarray | None, examples: int) -> np.ndarray:
    """Returns for each example the number of the unit that is resampled as a whole.

    Args:
        groups: One value per example; examples of one value belong together. `None`:
            each example stands for itself.
        examples: The number of examples.

    Returns:
        Integers from 0, of shape `(examples,)`.
    """
    if groups is None:
        numbers = np.arange(examples)
    else:
        numbers = np.unique(groups, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    if count <= _MOST_UNITS:
        return numbers
    blocks = np.random.default_rng(_SEED).permutation(count) % _MOST_UNITS
    return blocks[numbers]


def sums_by_unit(
    values: np.ndarray, numbers: np.ndarray, parts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Adds up values in each unit, apart for each part.

    Args:
        values: Array of shape `(n,)`.
        numbers: Units, from `units`.
        parts: Numbers from 0 of the parts that examples belong to. Defaults to one.

    Returns:
        Sums and counts, both of shape `(units, parts)`.
    """
    parts = np.zeros(len(values), int) if parts is None else parts
    width, height = int(parts.max()) + 1, int(numbers.max()) + 1
    cells = numbers * width + parts
    shape = height, width
    sums = np.bincount(cells, values, height * width).reshape(shape)
    return sums, np.bincount(cells, minlength=height * width).reshape(shape)


def resampled_means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Draws units with replacement and returns the mean of each part, each time.

    Args:
        sums: From `sums_by_unit`.
        counts: From `sums_by_unit`.

    Returns:
        Array of shape `(resamples, parts)`; NaN where a part was not drawn.

    Reference:
        Field and Welsh, Bootstrapping clustered data (2007).
    """
    random = np.random.default_rng(_SEED)
    drawn = random.multinomial(
        len(sums), np.full(len(sums), 1 / len(sums)), size=_RESAMPLES
    ).astype("float64")
    totals, sizes = drawn @ sums, drawn @ counts
    return np.divide(totals, sizes, out=np.full(totals.shape, np.nan), where=sizes > 0)


def percentiles(draws: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Returns the middle `confidence` of draws."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, (tail, 1 - tail))
    return Interval(float(low), float(high))


def mean_interval(
    values: np.ndarray, groups: np.ndarray | None, confidence: float = CONFIDENCE
) -> Interval:
    """Returns the percentile bootstrap interval of a mean; NaN for a single unit."""
    sums, counts = sums_by_unit(values, units(groups, len(values)))
    if len(sums) < 2:
        return Interval(float("nan"), float("nan"))
    return percentiles(resampled_means(sums, counts)[:, 0], confidence)


def share_interval(
    hits: np.ndarray, groups: np.ndarray | None, confidence: float = CONFIDENCE
) -> Interval:
    """Returns the interval of a share of hits.

    Wilson's, which also holds for few examples and for shares near 0 and 1. Where
    examples come in groups, the bootstrap over groups; if all are hits or none is, no
    resample would differ, and Wilson's interval for as many groups takes its place.

    Args:
        hits: Booleans of shape `(n,)`.
        groups: One value per example, or `None`.
        confidence: Of the interval, in (0, 1).

    Reference:
        Wilson, Probable Inference (1927).
    """
    share = float(np.mean(hits))
    if groups is None:
        return wilson(int(np.sum(hits)), len(hits), confidence)
    if share in (0.0, 1.0):
        count = len(np.unique(groups))
        return wilson(round(share * count), count, confidence)
    return mean_interval(hits.astype("float64"), groups, confidence)


def wilson(hits: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Returns Wilson's interval of `hits` out of `count`."""
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(confidence, method="wilson")
    return Interval(float(found.low), float(found.high))


def sign_flip_p_value(differences: np.ndarray) -> float:
    """Tests whether differences are symmetric about 0, by flipping their signs.

    Args:
        differences: Sums per unit, of shape `(units,)`.

    Returns:
        The two-sided p-value of the sum, from 9999 random assignments of signs.

    Reference:
        Ernst, Permutation Methods: A Basis for Exact Inference (2004).
    """
    observed = abs(differences.sum())
    # Sums that only differ by rounding count as equal.
    least = observed - 1e-9 * np.abs(differences).sum()
    random = np.random.default_rng(_SEED)
    reached = 0
    for start in range(0, _FLIPS, _FLIPS_AT_ONCE):
        count = min(_FLIPS_AT_ONCE, _FLIPS - start)
        signs = 2.0 * random.integers(0, 2, (count, len(differences)), "int8") - 1
        reached += int((np.abs(signs @ differences) >= least).sum())
    return (1 + reached) / (1 + _FLIPS)
