"""Sums over groups of examples that belong together, and a test that flips signs."""

from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
_FLIPS = 9999
_SEED = 0
# More independent units than this are put together in random blocks: the spread is the
# same, and a million examples cost no more than a few thousand.
_MOST_UNITS = 4000
_FLIPS_AT_ONCE = 1000


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def units(groups: np.ndarray | None, examples: int) -> np.ndarray:
    """Returns for each example the number of the unit that it is a part of.

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
