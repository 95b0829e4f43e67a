"""Intervals around forecasts, of errors on data that nothing was learnt from."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

# Which errors are kept: their quantiles at these levels.
LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
COVERAGES = (0.5, 0.8, 0.9, 0.95)
# So many errors the outermost levels take.
LEAST_ERRORS = round(1 / LEVELS[0]) - 1
# How wide the 90% interval of a normal distribution is, in its deviations.
_WIDTH_90 = 2 * statistics.NormalDist().inv_cdf(0.95)
# Errors of less than this, in deviations of a window, are rounding.
_LEAST = 1e-6


@dataclass(frozen=True)
class Intervals:
    """What `tl.calibrate` found for a forecaster; prints itself.

    Attributes:
        windows: How many windows it is of.
        coverage: From each coverage that can be asked for to the share of the values
            of these windows that lie within.
        width: From each coverage to the intervals' mean width, in deviations of the
            windows.
    """

    windows: int
    coverage: dict[float, float]
    width: dict[float, float]

    def __str__(self) -> str:
        each = ", ".join(
            f"{level:.0%} within {self.width[level]:.3g} deviations"
            for level in self.coverage
        )
        return f"intervals of {self.windows} windows: {each}"


def error_quantiles(errors: np.ndarray) -> np.ndarray:
    """Returns conformal quantiles of errors of each step, `(levels, units)`.

    Upper ones are so large, and lower ones so small, that a further error lies beyond
    them no more often than the level says, were it drawn as these were.

    Args:
        errors: True minus forecast, `(n, units)`, NaN where unknown.

    Raises:
        ValueError: If a step has fewer than 39 known errors.

    Reference:
        Lei et al., Distribution-Free Predictive Inference for Regression (2018).
    """
    found = np.empty((len(LEVELS), errors.shape[1]))
    for unit, column in enumerate(errors.T):
        known = np.sort(column[~np.isnan(column)])
        count = len(known)
        if count < LEAST_ERRORS:
            raise ValueError(
                f"Intervals take at least {LEAST_ERRORS} windows with a known value at "
                f"each step of the horizon. Received: {count} at step {unit + 1}. Take "
                "a larger validation part, or a smaller `stride`."
            )
        for row, level in enumerate(LEVELS):
            place = (count + 1) * level
            # Rounded away from the middle, but for what floats add.
            rank = math.floor(place + 1e-9) if level < 0.5 else math.ceil(place - 1e-9)
            found[row, unit] = known[min(max(rank, 1), count) - 1]
    return found


def bounds_of(coverage: Any) -> tuple[int, int]:
    """Returns the rows of the lower and the upper bound of an interval.

    Raises:
        ValueError: If `coverage` is none of `COVERAGES`.
    """
    if coverage not in COVERAGES:
        raise ValueError(
            f"`coverage` must be one of {COVERAGES}. Received: coverage={coverage!r}."
        )
    low = min(range(len(LEVELS)), key=lambda i: abs(LEVELS[i] - (1 - coverage) / 2))
    return low, len(LEVELS) - 1 - low


def usual_errors(quantiles: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the median error of each step, and a deviation around it.

    The deviation is that of normal errors whose 90% interval is as wide: robust, so
    that a few anomalies among the errors do not hide others. Unlike conformal
    p-values, which end at one in as many as there were windows, deviations still rank
    what lies beyond all errors that were seen.

    Args:
        quantiles: As `error_quantiles` returns them.

    Example:
    >>> error_quantiles(np.arange(-49.0, 50)[:, None]).shape
    (9, 1)
    >>> [x.round(1).tolist() for x in usual_errors(np.arange(9.0)[:, None])]
    [[4.0], [1.8]]
    """
    quantiles = np.asarray(quantiles, "float64")
    low, high = (quantiles[row] for row in bounds_of(0.9))
    return quantiles[LEVELS.index(0.5)], np.maximum(high - low, _LEAST) / _WIDTH_90
