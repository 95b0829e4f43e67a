"""Integrated gradients: a path from a baseline to an input, and the gap it leaves."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

FEWEST_STEPS, MOST_STEPS = 32, 512


class Integral(NamedTuple):
    """Attributions along a path, and how far they are from complete.

    Attributes:
        attributions: Of the input's shape.
        start: The logit of the baseline.
        end: The logit of the input.
        gap: How far the attributions' sum is from `end - start`, as a share of the
            range of the logit along the path.
        steps: Points on the path.
    """

    attributions: np.ndarray
    start: float
    end: float
    gap: float
    steps: int


def integrate(
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    baseline: np.ndarray,
    x: np.ndarray,
    steps: int | None,
    tolerance: float,
    batch_size: int,
) -> Integral:
    """Integrates gradients from a baseline to an input, by the midpoint rule.

    Points lie the closer, the nearer the baseline is: there a network's outputs change
    most. (They are even in the square root of the share of the way.)

    Args:
        function: Gives logits `(n,)` and their gradients at points `(n, ...)`.
        baseline: Where the path starts.
        x: Where it ends.
        steps: Points on the path; `None`: as many as `tolerance` takes, doubled from
            32 up to 512.
        tolerance: The largest gap to accept.
        batch_size: Points at a time.
    """
    difference = (x - baseline).astype("float64")
    (start, end), _ = function(np.stack([baseline, x]))
    count = steps or FEWEST_STEPS
    while True:
        gradient, low, high = _mean_gradient(
            function, baseline, difference, count, batch_size
        )
        attributions = gradient * difference
        span = max(high, start, end) - min(low, start, end)
        error = abs(attributions.sum() - (float(end) - float(start)))
        gap = float(error / span) if span > 0 else 0.0
        if steps or gap <= tolerance or count >= MOST_STEPS:
            return Integral(attributions, float(start), float(end), gap, count)
        count *= 2


def _mean_gradient(
    function: Callable,
    baseline: np.ndarray,
    difference: np.ndarray,
    count: int,
    batch_size: int,
) -> tuple[np.ndarray, float, float]:
    """Returns the mean gradient on the path, and the lowest and highest logit there."""
    total = np.zeros(difference.shape)
    low, high = np.inf, -np.inf
    roots = (np.arange(count) + 0.5) / count
    for first in range(0, count, batch_size):
        here = roots[first : first + batch_size].reshape(-1, *[1] * difference.ndim)
        points = (baseline + here**2 * difference).astype("float32")
        values, gradients = function(points)
        total += (2 * here * gradients).sum(axis=0, dtype="float64")
        low, high = min(low, values.min()), max(high, values.max())
    return total / count, float(low), float(high)
