"""`solve`: a linear model of features whose regularised loss is least."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tlkeras.linear.least_squares import minimum_of
from tlkeras.linear.rows import Rows
from tlkeras.linear.strength import Choice, choose_strength
from tlkeras.linear.targets import Targets

# Below so many numbers threads wait for each other longer than they work.
_SMALL = 1_000_000


@dataclass(frozen=True)
class Solution:
    """A linear model: `outputs = link(features @ kernel + bias)`.

    Attributes:
        kernel: float64 `(width, outputs)`.
        bias: float64 `(outputs,)`.
        strength: The L2 penalty, per mean loss, on weights of standardised features; or
            the one that was given, on weights of features as they are.
        folds: How many fits chose it; 0 where it was given.
        cross_validated: The loss that they led to expect on other data, of numbers half
            the share of their variance that stays unexplained; `None` where nothing
            could be held out.
        given: Whether the strength was given.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    folds: int = 0
    cross_validated: float | None = None
    given: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """What a history and a record keep of it."""
        return {
            "strength": self.strength,
            "folds": self.folds,
            "loss": self.cross_validated,
        }


def solve(
    features: np.ndarray,
    targets: Targets,
    *,
    penalty: float | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[int, int], Any] = lambda done, total: None,
    release: Callable[[Any], Any] = id,
) -> Solution:
    """Finds the linear model of features with the least regularised loss.

    The loss is the weighted mean of cross-entropies or halved squared errors plus half
    of the strength times the sum of squared weights; biases are free. Features, and
    numbers to be learnt, are standardised for it; the scale is folded back. The
    strength is the one with the least loss in cross-validation. Strong penalties shrink
    outputs, which cross-validation sees, too: there weights are scaled by the factor
    that is best on rows that were held out. The limit of a strong penalty are the
    differences of the means of the classes, which is what few examples can tell.

    Rows that count nothing are as good as left out.

    Args:
        features: `(n, width)`, in memory or memory-mapped.
        targets: What is to be learnt of each row.
        penalty: The strength, where it is known: on weights of features as they are.
        groups: int `(n,)`; rows of one group are held out together.
        seed: Seed of the folds.
        progress: Called with fits that are done, and how many there are at most.
        release: Called with `features` after each block that was read of them.

    Returns:
        A `Solution`.

    Raises:
        ValueError: If features are not finite.

    Reference:
        Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution (2022): a solved head as the start of fine-tuning; Wang et
        al., SimpleShot (2019): class means; Guo et al., On Calibration of Modern Neural
        Networks (2017), section 4.2: the scale.
    """
    rows, targets, groups, units = prepared(features, targets, groups, release, penalty)
    with few_threads(rows):
        if penalty is None:
            choice = choose_strength(rows, targets, groups, seed, progress)
            strength = np.full(rows.width, choice.strength)
        else:
            choice = Choice(penalty)
            # What it costs in the weights of standardised features.
            strength = penalty / rows.scale**2
        kernel, bias = minimum_of(rows, targets).find(strength)
    kernel = kernel * units * choice.scale / rows.scale[:, None]
    return Solution(
        kernel,
        bias * units - rows.mean @ kernel,
        choice.strength,
        choice.folds,
        choice.loss,
        given=penalty is not None,
    )


def prepared(
    features: np.ndarray,
    targets: Targets,
    groups: np.ndarray | None,
    release: Callable[[Any], Any] = id,
    penalty: float | None = None,
) -> tuple[Rows, Targets, np.ndarray | None, np.ndarray]:
    """Returns the rows that count and what belongs to them, and the outputs' units.

    Args:
        features: As in `solve`.
        targets: As in `solve`.
        groups: As in `solve`.
        release: As in `solve`.
        penalty: As in `solve`; with one, numbers are not standardised.

    Raises:
        ValueError: If features are not finite.
    """
    only = _that_count(targets)
    if only is not None:
        targets = targets.at(only)
        groups = None if groups is None else groups[only]
    rows = Rows(features, release, only)
    if not np.isfinite(rows.mean).all():
        raise ValueError("Features must be finite. Received NaN or infinite ones.")
    units = np.ones(targets.values.shape[1])
    if penalty is None and targets.link == "identity":
        # What is measured in millions is no more to be learnt than what is in ones.
        units = _deviations(targets)
        targets = replace(targets, values=targets.values / units)
    return rows, targets, groups, units


def _that_count(targets: Targets) -> np.ndarray | None:
    """Returns the rows with a weight above 0; `None` where all have one, or none."""
    counts = (targets.weights > 0).any(axis=1)
    return None if counts.all() or not counts.any() else np.flatnonzero(counts)


def _deviations(targets: Targets) -> np.ndarray:
    """Returns the standard deviation of each number; 1 of constant ones."""
    weights = np.broadcast_to(targets.weights, targets.values.shape)
    total = np.maximum(weights.sum(axis=0), 1e-300)
    mean = (weights * targets.values).sum(axis=0) / total
    squares = (weights * (targets.values - mean) ** 2).sum(axis=0) / total
    constant = squares <= (1e-12 * np.abs(mean)) ** 2
    return np.where(constant, 1.0, np.sqrt(squares))


def few_threads(rows: Rows) -> AbstractContextManager:
    """Has products of few rows computed by one thread."""
    if len(rows) * rows.width >= _SMALL:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
