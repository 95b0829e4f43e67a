"""Two models on the same data: which is better, and whether that may be chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tlkeras.evaluation.report import Report
from tlkeras.metrics.intervals import estimate_of
from tlkeras.metrics.resampling import (
    Interval,
    sign_flip_p_value,
    sums_by_unit,
    units,
)
from tlkeras.metrics.table import number

_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; `print` says it in a sentence.

    Attributes:
        figure: `"accuracy"`, or `"mae"` for a regression.
        names: What the two reports are called.
        values: The figure of both.
        difference: The first minus the second.
        interval: 95% interval of the difference, over pairs.
        p_value: Two-sided: how likely a difference of this size would be, were
            the two equally good.
        test: The name of the test.
        better: The name of the better one, `None` where p is 0.05 or more.
        examples: The number of examples.
    """

    figure: str
    names: tuple[str, str]
    values: tuple[float, float]
    difference: float
    interval: Interval
    p_value: float
    test: str
    better: str | None
    examples: int

    def __str__(self) -> str:
        first, second = self.names
        verdict = (
            f"{self.better} is better" if self.better else "No difference is shown"
        )
        return (
            f"{verdict}: {self.figure} {number(self.values[0])} ({first}) and "
            f"{number(self.values[1])} ({second}) on {self.examples} examples. "
            f"Difference {number(self.difference)}, 95% interval "
            f"{number(self.interval.low)} to {number(self.interval.high)}; "
            f"{self.test}: p = {self.p_value:.2g}."
        )


def compare(
    report_a: Report, report_b: Report, *, names: Sequence[str] = ("a", "b")
) -> Comparison:
    """Compares two models that were evaluated on the same data.

    On the same examples two models differ by less chance than on two samples, so the
    examples are compared pair by pair. Of several comparisons some come out below
    0.05 by chance: choose between models on validation data, test once.

    Accuracies are compared by McNemar's exact test, errors of a regression by flipping
    the signs of the differences in absolute error. Where the reports have `groups`, the
    signs of whole groups are flipped, for accuracies as well.

    Args:
        report_a: A `Report`.
        report_b: Another, of the same data in the same order.
        names: What to call the two.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: If the reports differ in task, classes, labels or groups.

    Example:
    >>> y = np.arange(20) % 2
    >>> right = np.eye(2)[y]
    >>> wrong = np.where(np.arange(20)[:, None] < 8, right[:, ::-1], right)
    >>> print(tl.compare(tl.Report(y, right), tl.Report(y, wrong)))
    a is better: accuracy 1.0000 (a) and 0.6000 (b) on 20 examples. Difference
    0.4000, 95% interval 0.1060 to 0.6213; exact McNemar test: p = 0.0078.

    Reference:
        Dietterich, Approximate Statistical Tests for Comparing Supervised
        Classification Learning Algorithms (1998); Bonett and Price, Adjusted Wald
        Confidence Interval for a Difference of Binomial Proportions Based on Paired
        Data (2012): the interval.
    """
    names = _check_names(names)
    groups = _check_same_data(report_a, report_b)
    figure, a = report_a.main_values, report_a.main_values.values
    b = report_b.main_values.values
    differences = a - b
    if groups is None and figure.are_hits:
        test, p_value = "exact McNemar test", _mcnemar(differences)
    else:
        test = "sign-flip test" if groups is None else "sign-flip test of groups"
        sums, _ = sums_by_unit(differences, units(groups, len(a)))
        p_value = sign_flip_p_value(sums[:, 0])
    difference = float(differences.mean())
    better = names[0] if (difference > 0) == figure.more_is_better else names[1]
    return Comparison(
        figure=figure.name,
        names=names,
        values=(float(a.mean()), float(b.mean())),
        difference=difference,
        interval=_interval(differences, groups, figure.are_hits),
        p_value=p_value,
        test=test,
        better=better if p_value < _SIGNIFICANT else None,
        examples=len(a),
    )


def _interval(
    differences: np.ndarray, groups: np.ndarray | None, are_hits: bool
) -> Interval:
    """Returns Student's interval of the mean of differences between pairs.

    Of shares two pairs are added, of which each model alone gets one right: a few pairs
    that are all alike would have no spread.
    """
    pairs = estimate_of(differences, groups, is_share=False)
    if are_hits:
        size = pairs.examples / pairs.units
        pairs = replace(
            pairs,
            sums=np.append(pairs.sums, (size, -size)),
            counts=np.append(pairs.counts, (size, size)),
        )
    return pairs.student()


def _check_names(names: Sequence[str]) -> tuple[str, str]:
    if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
        raise ValueError(
            f"`names` must be two different names. Received: names={names!r}."
        )
    return str(names[0]), str(names[1])


def _check_same_data(a: Report, b: Report) -> np.ndarray | None:
    """Returns the groups that both reports share, or raises `ValueError`."""
    for argument, report in (("report_a", a), ("report_b", b)):
        if not isinstance(report, Report):
            raise ValueError(
                f"`{argument}` must be a `Report`; of a model with several heads pass "
                f"that of one head. Received: {type(report).__name__}."
            )
    if a.task != b.task or a.class_names != b.class_names:
        raise ValueError(
            "The reports must have one task and the same classes. Received: "
            f"{a.task!r} of {a.class_names}, and {b.task!r} of {b.class_names}."
        )
    if not np.array_equal(a.y_true, b.y_true):
        raise ValueError(
            "The reports must be of the same examples in the same order, and their "
            f"labels differ ({len(a.y_true)} and {len(b.y_true)} examples). Evaluate "
            "both models on data that is not shuffled anew on every pass."
        )
    groups = [report.groups for report in (a, b) if report.groups is not None]
    if len(groups) == 2 and not np.array_equal(*groups):
        raise ValueError(
            "The reports must have the same `groups`, or one of them none. Received "
            "groups that differ."
        )
    return groups[0] if groups else None


def _mcnemar(differences: np.ndarray) -> float:
    """Returns the exact p-value of examples that only one of two gets right."""
    from scipy.stats import binomtest

    only_a, only_b = int((differences > 0).sum()), int((differences < 0).sum())
    if not only_a + only_b:
        return 1.0
    return float(binomtest(only_a, only_a + only_b).pvalue)
