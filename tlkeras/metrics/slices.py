"""Figures for parts of the data, and how far apart the parts are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkeras.description import aligned
from tlkeras.metrics.intervals import Estimate, difference_interval, shown_interval
from tlkeras.metrics.per_example import PerExample
from tlkeras.metrics.resampling import CONFIDENCE, Interval, sums_by_unit, units
from tlkeras.metrics.table import one_line

# Fewer examples, or groups, than this say little about a slice.
FEW_EXAMPLES = 30
FEW_GROUPS = 10
_MOST_NUMBERS = 10
_MOST_SLICES = 200
MISSING = "(missing)"


@dataclass(frozen=True)
class Gap:
    """The largest difference between two slices.

    Attributes:
        best: The slice with the best figure.
        worst: The slice with the worst figure.
        difference: How far apart they are, at least 0.
        interval: 95% interval of the difference, simultaneous for all pairs of slices,
            since it is the pair that lies farthest apart that is shown. It holds for
            few examples, and is wide then. A lower end below 0 means that no gap is
            shown.
        among: Number of slices compared.
    """

    best: str
    worst: str
    difference: float
    interval: Interval
    among: int


class SliceTable(list):
    """List with one dictionary per slice, the worst first; prints as a table.

    Each has `"slice"`, `"examples"`, the figure (`"accuracy"` or `"mae"`), `"low"` and
    `"high"` (its 95% interval), `"loss"` and `"small"`: whether the slice has so few
    examples (below 30, or below 10 groups) that its figure says little. The interval is
    that of `Report.interval`.

    Attributes:
        figure: `"accuracy"` or `"mae"`.
        gap: The `Gap` between the slices that are not small; where fewer than two are
            left, between all; `None` where there is one slice.
    """

    def __init__(self, rows: Any, figure: str, gap: Gap | None):
        super().__init__(rows)
        self.figure, self.gap = figure, gap

    def __str__(self) -> str:
        titles = ("examples", self.figure, "low", "high", "loss")
        cells = [
            (
                one_line(row["slice"]),
                str(row["examples"]),
                *(f"{row[title]:.3f}" for title in titles[1:]),
            )
            for row in self
        ]
        lines = aligned([("", *titles), *cells], least=8)
        for number, row in enumerate(self, start=1):
            lines[number] += "  few examples" if row["small"] else ""
        return "\n".join([*lines, *map(str, gap_sentences(self))])


def slice_table(
    name: str,
    slice_values: np.ndarray,
    figure: PerExample,
    losses: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> SliceTable:
    """Computes the table of one way to slice.

    Args:
        name: What this way to slice is called.
        slice_values: What slice each example is in, strings or numbers of shape `(n,)`;
            NaN where that is missing.
        figure: What is compared.
        losses: The loss of each example.
        groups: One value per example; examples of one value belong together.
        sample_weight: Weights of the examples in the loss.

    Raises:
        ValueError: If there are too many different values.
    """
    labels = _as_labels(slice_values)
    present, parts = np.unique(labels, return_inverse=True)
    if len(present) > _MOST_SLICES:
        raise ValueError(
            f"`slices` {name!r} has {len(present)} different values, such as "
            f"{str(present[0])!r}; a slice is a part of the data that has many "
            f"examples. Pass values that at most {_MOST_SLICES} differ in, or `groups`."
        )
    title, more_is_better = figure.name, figure.more_is_better
    numbers = units(groups, len(labels))
    sums, counts = sums_by_unit(figure.values, numbers, parts)
    grouped = groups is not None
    estimates = [
        Estimate(sums[:, i], counts[:, i], figure.are_hits, grouped)
        for i in range(len(present))
    ]
    intervals = [shown_interval(estimate) for estimate in estimates]
    small = _are_small(parts, groups)
    means = np.array([estimate.mean for estimate in estimates])
    rows = [
        {
            "slice": str(label),
            "examples": int(counts[:, i].sum()),
            title: float(means[i]),
            "low": intervals[i].low,
            "high": intervals[i].high,
            "loss": _mean(losses, sample_weight, parts == i),
            "small": bool(small[i]),
        }
        for i, label in enumerate(present)
    ]
    gap = _gap(present, estimates, small, more_is_better)
    order = np.argsort(means if more_is_better else -means, kind="stable")
    return SliceTable([rows[i] for i in order], title, gap)


def gap_sentences(table: SliceTable) -> list[str]:
    """Returns what the gap says in words, or nothing."""
    gap = table.gap
    if gap is None:
        return []
    low, high = gap.interval
    verdict = "" if low > 0 else "; no gap is shown"
    return [
        f"Largest gap in {table.figure}: {gap.difference:.3f} between {gap.best!r} and "
        f"{gap.worst!r} (95% interval {low:.3f} to {high:.3f}{verdict})."
    ]


def _as_labels(values: np.ndarray) -> np.ndarray:
    """Returns values as labels; of many different numbers, the quarter they are in.

    Dates and durations are numbers, too.
    """
    are_times = values.dtype.kind in "mM"
    if values.dtype.kind not in "iuf" and not are_times:
        return values.astype(str)
    known = ~(np.isnat(values) if are_times else np.isnan(values))
    different = np.unique(values[known])
    if len(different) <= _MOST_NUMBERS:
        name = _named_times if are_times else _named
    elif are_times:
        name = _quarters_of_times
    else:
        name = _quarters(values[known])
    labels = np.full(len(values), MISSING, object)
    labels[known] = name(values[known])
    return labels.astype(str)


def _named_times(values: np.ndarray) -> np.ndarray:
    # With microseconds they are Python's own, which read well.
    return np.array(list(map(str, values.astype(f"{values.dtype.kind}8[us]").tolist())))


def _named(values: np.ndarray) -> np.ndarray:
    """Returns numbers as they are; whole ones, which a gap turns into floats, whole."""
    whole = np.isfinite(values).all() and (values == np.round(values)).all()
    return (values.astype("int64") if whole else values).astype(str)


def _quarters(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what names the quarter of these numbers that a number is in."""
    finite = values[np.isfinite(values)]
    edges = np.unique(np.quantile(finite, (0, 0.25, 0.5, 0.75, 1)))
    edges[0], edges[-1] = values.min(), values.max()
    names = np.array(
        [
            f"{low:.4g} to {high:.4g}"
            for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]
    )
    return lambda numbers: names[np.digitize(numbers, edges[1:-1])]


def _quarters_of_times(values: np.ndarray) -> np.ndarray:
    """Returns for each date or duration the quarter that it is in, by name."""
    numbers = values.astype("int64")
    edges = np.unique(np.quantile(numbers, (0, 0.25, 0.5, 0.75, 1)).astype("int64"))
    parts = np.digitize(numbers, edges[1:-1])
    times = edges.astype(values.dtype)
    unit = "D" if times[-1] - times[0] >= np.timedelta64(4, "D") else "s"
    shown = times.astype(f"{values.dtype.kind}8[{unit}]").astype(str)
    return np.array([f"{shown[i]} to {shown[i + 1]}" for i in parts])


def _are_small(parts: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    small = np.bincount(parts) < FEW_EXAMPLES
    if groups is None:
        return small
    pairs = np.unique(
        np.stack([parts, np.unique(groups, return_inverse=True)[1]]), axis=1
    )
    return small | (np.bincount(pairs[0]) < FEW_GROUPS)


def _mean(values: np.ndarray, weights: np.ndarray | None, mask: np.ndarray) -> float:
    if weights is None or not weights[mask].any():
        return float(values[mask].mean())
    return float(np.average(values[mask], weights=weights[mask]))


def _gap(
    labels: np.ndarray,
    estimates: list[Estimate],
    small: np.ndarray,
    highest_is_best: bool,
) -> Gap | None:
    compared = np.flatnonzero(~small)
    if len(compared) < 2:
        # Of a mean of one example nothing tells how far it may be off.
        known = [np.isfinite(estimate.interval()).all() for estimate in estimates]
        compared = np.flatnonzero(known)
    if len(compared) < 2:
        return None
    order = np.argsort([estimates[i].mean for i in compared], kind="stable")
    high, low = compared[order[-1]], compared[order[0]]
    best, worst = (high, low) if highest_is_best else (low, high)
    pairs = len(compared) * (len(compared) - 1) / 2
    sure = 1 - (1 - CONFIDENCE) / pairs
    return Gap(
        best=str(labels[best]),
        worst=str(labels[worst]),
        difference=estimates[high].mean - estimates[low].mean,
        interval=difference_interval(estimates[high], estimates[low], sure),
        among=len(compared),
    )
