"""Intervals of shares and means, and of their differences, that hold for few examples.

A bootstrap of three examples that are all right never draws a wrong one: its interval
would have no width.
"""

from dataclasses import dataclass

import numpy as np

from tlkeras.metrics.resampling import CONFIDENCE, Interval, sums_by_unit, units


@dataclass(frozen=True)
class Estimate:
    """A mean of examples, which come in units that are independent of each other.

    Attributes:
        sums: Of each unit's values, float64 `(units,)`; 0 where it has none here.
        counts: How many examples of each unit there are.
        is_share: Whether values are 0 and 1.
        grouped: Whether a unit may have several examples that are alike.
    """

    sums: np.ndarray
    counts: np.ndarray
    is_share: bool
    grouped: bool

    @property
    def examples(self) -> int:
        """The number of examples."""
        return int(self.counts.sum())

    @property
    def units(self) -> int:
        """The number of units that have examples here."""
        return int((self.counts > 0).sum())

    @property
    def mean(self) -> float:
        """The mean of all examples."""
        return float(self.sums.sum() / self.examples)

    @property
    def residuals(self) -> np.ndarray:
        """How much each unit moves the mean."""
        return (self.sums - self.mean * self.counts) / self.examples

    @property
    def variance(self) -> float:
        """Of the mean; of a single unit it is not known: NaN."""
        if self.units < 2:
            return float("nan")
        scale = self.units / (self.units - 1)
        return float(scale * np.sum(self.residuals**2))

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Returns an interval of the mean; NaN for a mean of a single unit.

        Of a share it is exact, of as many independent examples as its groups are worth;
        of other means it is Student's. Where no value is below 0, as of errors, neither
        is the interval, and its upper end is Student's on a logarithmic scale: among a
        few such values the largest are often missing.

        Args:
            confidence: Of the interval, in (0, 1).

        Reference:
            Clopper and Pearson, The Use of Confidence or Fiducial Limits (1934); Korn
            and Graubard, Confidence Intervals for Proportions with Small Expected
            Number of Positive Counts Estimated from Survey Data (1998).
        """
        from scipy import stats

        tail = (1 - confidence) / 2
        if self.is_share:
            count = self._worth(tail)
            hits = self.mean * count
            low = stats.beta.ppf(tail, hits, count - hits + 1) if hits > 0 else 0.0
            misses = count - hits
            high = stats.beta.isf(tail, hits + 1, misses) if misses > 0 else 1.0
            return Interval(float(low), float(high))
        low, high = self.student(confidence)
        if self.mean > 0 and self.sums.min() >= 0:
            return Interval(
                max(low, 0.0), float(self.mean * np.exp(high / self.mean - 1))
            )
        return Interval(low, high)

    def student(self, confidence: float = CONFIDENCE) -> Interval:
        """Returns Student's interval of the mean; NaN for a mean of a single unit.

        Args:
            confidence: Of the interval, in (0, 1).
        """
        from scipy import stats

        if self.units < 2:
            return Interval(float("nan"), float("nan"))
        reach = stats.t.isf((1 - confidence) / 2, self.units - 1) * self.variance**0.5
        return Interval(self.mean - float(reach), self.mean + float(reach))

    def _worth(self, tail: float) -> float:
        """Returns how many independent examples say as much as these."""
        from scipy import stats

        if not self.grouped:
            return float(self.examples)
        if self.variance == 0 or self.units < 2:
            return float(self.units)
        worth = self.mean * (1 - self.mean) / self.variance
        if self.examples > self.units > 1:
            worth *= (
                stats.t.isf(tail, self.examples - 1) / stats.t.isf(tail, self.units - 1)
            ) ** 2
        return float(min(worth, self.examples))


def estimate_of(
    values: np.ndarray, groups: np.ndarray | None, is_share: bool
) -> Estimate:
    """Returns the mean of examples, as an `Estimate`.

    Args:
        values: Array of shape `(n,)`.
        groups: One value per example; examples of one value belong together. `None`:
            each example stands for itself.
        is_share: Whether values are 0 and 1.
    """
    sums, counts = sums_by_unit(values, units(groups, len(values)))
    return Estimate(sums[:, 0], counts[:, 0], is_share, groups is not None)


def shown_interval(estimate: Estimate, confidence: float = CONFIDENCE) -> Interval:
    """Returns the interval that a report gives of a figure.

    Of a share it is Wilson's, which is closer than an exact one. Where examples come in
    groups it is exact, of as many examples as these are worth; if all are hits or none
    is, their spread tells nothing, and it is Wilson's of as many groups.

    Args:
        estimate: The figure.
        confidence: Of the interval, in (0, 1).

    Reference:
        Wilson, Probable Inference (1927).
    """
    hits = round(estimate.sums.sum())
    if not estimate.is_share:
        return estimate.interval(confidence)
    if not estimate.grouped:
        return wilson(hits, estimate.examples, confidence)
    if hits in (0, estimate.examples):
        count = estimate.units
        return wilson(count if hits else 0, count, confidence)
    return estimate.interval(confidence)


def wilson(hits: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Returns Wilson's interval of `hits` out of `count`."""
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(confidence, method="wilson")
    return Interval(float(found.low), float(found.high))


def difference_interval(
    first: Estimate, second: Estimate, confidence: float = CONFIDENCE
) -> Interval:
    """Returns an interval of how much the first mean is above the second.

    Args:
        first: A mean.
        second: Another one, of other examples, in the same units.
        confidence: Of the interval, in (0, 1).

    Reference:
        Newcombe, Interval Estimation for the Difference Between Independent Proportions
        (1998), method 10; Zou and Donner, Construction of Confidence Limits about
        Effect Measures: A General Approach (2008), also for means that correlate.
    """
    one, other = first.interval(confidence), second.interval(confidence)
    difference = first.mean - second.mean
    below = first.mean - one.low, other.high - second.mean
    above = one.high - first.mean, second.mean - other.low
    correlation = _correlation(first, second)
    return Interval(
        difference - _joined(*below, correlation),
        difference + _joined(*above, correlation),
    )


def _joined(one: float, other: float, correlation: float) -> float:
    squared = one**2 + other**2 - 2 * correlation * one * other
    return float(np.sqrt(max(squared, 0.0)))


def _correlation(first: Estimate, second: Estimate) -> float:
    """Returns how much two means go together, by units that have examples in both."""
    if not (first.grouped and second.grouped):
        return 0.0
    one, other = first.residuals, second.residuals
    size = float(np.sqrt(np.sum(one**2) * np.sum(other**2)))
    return float(np.sum(one * other)) / size if size > 0 else 0.0
