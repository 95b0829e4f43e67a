"""What decisions cost, by the probability from which a class is said."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlkeras._validation import check_number, shown


@dataclass(frozen=True)
class CostCurve:
    """What it costs to say a class from each probability on, and what costs least.

    Attributes:
        class_name: The class that is said or not.
        scores: The different probabilities of it, increasing, `(k,)`.
        thresholds: Probabilities from which it can be said, increasing: 0, and halfway
            between neighbours among `scores` and 1.
        costs: The mean cost per example from each of `thresholds` on.
        threshold: The one that costs least; of equals the highest.
        cost: The mean cost per example from there on.
        never: That of never saying the class.
        always: That of always saying it.
        calibrated: The threshold that costs least where probabilities are right,
            `false_positive / (false_positive + false_negative)`; NaN where costs
            differ between examples.

    Example:
    >>> report = tl.Report([0, 1, 1], [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    >>> curve = report.cost_curve(false_negative=10)
    >>> round(curve.threshold, 3), curve.cost
    (0.2, 0.0)
    """

    class_name: str
    scores: np.ndarray = field(repr=False)
    thresholds: np.ndarray = field(repr=False)
    costs: np.ndarray = field(repr=False)
    threshold: float
    cost: float
    never: float
    always: float
    calibrated: float

    def at(self, threshold: float) -> float:
        """Returns the mean cost per example of saying the class from a probability on.

        Of a threshold that was found on other data, it is what that costs here.

        Args:
            threshold: A probability.

        Raises:
            ValueError: If it is no number from 0 on.

        Example:
        >>> report = tl.Report([0, 1, 1], [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
        >>> round(report.cost_curve(false_negative=9).at(0.5), 3)
        3.0
        """
        check_number("threshold", threshold, minimum=0)
        said = np.searchsorted(self.scores, threshold)
        return float(np.append(self.costs[: len(self.scores)], self.never)[said])


def cost_curve(
    truth: np.ndarray,
    scores: np.ndarray,
    false_negative: Any,
    false_positive: Any,
    class_name: str,
    weights: np.ndarray | None = None,
) -> CostCurve:
    """Computes what it costs to say a class from each probability on.

    Args:
        truth: Booleans `(n,)`: which examples are of the class.
        scores: Their probabilities of it, `(n,)`.
        false_negative: What an example of the class costs that it is not said of: a
            number, or one for each example.
        false_positive: What it costs to say the class of another example, as well.
        class_name: The class.
        weights: Of the examples in the means, `(n,)`; `None`: they count alike.

    Raises:
        ValueError: If costs are negative, all 0 or of another form.

    Example:
    >>> truth, scores = np.array([0, 0, 1, 1], bool), np.array([0.1, 0.3, 0.2, 0.8])
    >>> curve = cost_curve(truth, scores, 10, 1, "fraud")
    >>> round(curve.threshold, 3), curve.cost, curve.never, curve.always
    (0.15, 0.25, 5.0, 0.5)

    Reference:
        Elkan, The Foundations of Cost-Sensitive Learning (2001).
    """
    given = {"false_negative": false_negative, "false_positive": false_positive}
    missed, alarms = (
        _checked(name, value, len(truth)) for name, value in given.items()
    )
    if not (missed.any() or alarms.any()):
        raise ValueError(f"Costs must not all be 0. Received: {given}.")
    is_same = missed.min() == missed.max() and alarms.min() == alarms.max()
    calibrated = alarms[0] / (alarms[0] + missed[0]) if is_same else np.nan
    weights = np.ones(len(truth)) if weights is None else weights
    missed, alarms = missed * weights, alarms * weights
    distinct, place = np.unique(scores.astype("float64"), return_inverse=True)
    count = len(distinct)
    # With the i-th score or more said, those below it are missed.
    below = np.cumsum(np.bincount(place, missed * truth, count))
    above = np.bincount(place, alarms * ~truth, count)[::-1].cumsum()[::-1]
    costs = (np.append(0, below) + np.append(above, 0)) / weights.sum()
    thresholds = np.append(0, (distinct + np.append(distinct[1:], 1)) / 2)
    never, always = costs[-1], costs[0]
    if distinct[-1] >= 1:
        # No probability is left from which it is never said.
        thresholds, costs = thresholds[:-1], costs[:-1]
    best = len(costs) - 1 - int(costs[::-1].argmin())
    return CostCurve(
        class_name,
        distinct,
        thresholds,
        costs,
        threshold=float(thresholds[best]),
        cost=float(costs[best]),
        never=float(never),
        always=float(always),
        calibrated=float(calibrated),
    )


def _checked(name: str, cost: Any, count: int) -> np.ndarray:
    """Returns the cost of each example, float64 `(n,)`."""
    costs = np.asarray(cost)
    costs = costs.astype("float64") if costs.dtype.kind in "iuf" else np.array(np.nan)
    fits = costs.shape in ((), (count,)) and np.isfinite(costs).all()
    if not fits or (costs < 0).any():
        raise ValueError(
            f"`{name}` must be a number from 0 on, or one for each of the {count} "
            f"examples in their stored order. Received: {shown(cost)}."
        )
    return np.broadcast_to(costs, (count,))
