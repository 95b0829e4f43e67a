"""A report as plain text: headline, figures, table."""

from collections.abc import Sequence

import numpy as np

from tlkeras.evaluation.figures import Figures
from tlkeras.metrics.table import FIGURES, format_rows, number, one_line

_MOST_NAMES = 10


def title(report: Figures) -> str:
    """Returns what was evaluated in a line, such as `classification of 90 examples`."""
    return report.output.heading(len(report.y_true))


def headline(report: Figures) -> str:
    """Returns the title with the figures that do not average over classes."""
    return f"{title(report)}, {_figures(report, report.output.headline_figures)}"


def text(report: Figures) -> str:
    """Returns the whole report as text that fits a terminal."""
    first = title(report)
    figures = _figures(report, report.output.first_figures)
    blocks = [f"{first[0].upper()}{first[1:]}\n{figures}\n{interval(report)}"]
    if report.per_class is not None:
        averages = average_rows(report)
        lines = format_rows([*report.per_class, *averages]).splitlines()
        cut = len(lines) - len(averages)
        blocks += ["\n".join(lines[:cut]), "\n".join(lines[cut:])]
    blocks += missing(report)
    blocks += shift(report)
    blocks += report.output.warnings(report)
    blocks += report.output.sentences(report)
    blocks += [f"By {name}:\n{table}" for name, table in report.slices.items()]
    return "\n\n".join(blocks)


def average_rows(report: Figures) -> list[dict]:
    """Returns the averages over classes as rows like those of `report.per_class`."""
    support = sum(row["support"] for row in report.per_class)
    return [
        {
            "class": f"{average} average",
            **{figure: report.metrics[f"{average}_{figure}"] for figure in FIGURES},
            "support": support,
        }
        for average in ("macro", "weighted", "micro")
        if f"{average}_recall" in report.metrics
    ]


def missing(report: Figures) -> list[str]:
    """Returns a sentence on the classes without examples, or nothing."""
    names = [row["class"] for row in report.per_class or [] if not row["support"]]
    if not names:
        return []
    shown = ", ".join(map(one_line, names[:_MOST_NAMES]))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    note = "counted as 0 in the macro averages"
    return [f"Without examples in this data ({note}): {shown}{more}."]


def shift(report: Figures) -> list[str]:
    """Returns a sentence on whether the examples are like the reference, if known."""
    gap = report.domain_gap
    if gap is None:
        return []
    if not gap.differs:
        return [f"These examples are like the reference (p = {gap.p:.3f})."]
    return [
        f"These examples differ from the reference (p = {gap.p:.3f}; told apart with "
        f"an accuracy of {gap.accuracy:.2f}, where 0.5 is chance): figures on one "
        "need not hold for the other."
    ]


def interval(report: Figures) -> str:
    """Returns the 95% interval of the main figure, and what it rests on."""
    low, high = map(number, report.interval())
    figure = report.main_values
    if report.groups is None:
        basis = "Wilson" if figure.are_hits else "Student"
    else:
        basis = f"of {len(np.unique(report.groups))} groups"
    return f"95% interval of {figure.name}: {low} to {high} ({basis})"


def _figures(report: Figures, names: Sequence[str]) -> str:
    metrics = report.metrics
    return ", ".join(
        f"{name} {number(metrics[name])}" for name in names if name in metrics
    )
