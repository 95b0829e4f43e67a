"""A report as plain text: headline, figures, table."""

from typing import TYPE_CHECKING

from tlkeras.evaluation._table import FIGURES, format_rows, number, one_line

if TYPE_CHECKING:
    from tlkeras.evaluation.report import Report

_TITLES = {
    "classification": "classification",
    "multi_label": "multi-label classification",
    "regression": "regression",
}
_MOST_NAMES = 10


def title(report: "Report") -> str:
    """Returns what was evaluated in a line, such as `classification of 90 examples`."""
    examples = len(report.y_true)
    line = f"{_TITLES[report.task]} of {examples} example{'s' * (examples != 1)}"
    if report.task == "regression":
        return line
    kind = "classes" if report.task == "classification" else "labels"
    return f"{line}, {len(report.class_names)} {kind}"


def headline(report: "Report") -> str:
    """Returns the title with the figures that do not average over classes."""
    return f"{title(report)}, {_figures(report)}"


def text(report: "Report") -> str:
    """Returns the whole report as text that fits a terminal."""
    first = title(report)
    blocks = [f"{first[0].upper()}{first[1:]}\n{_figures(report)}"]
    if report.per_class is not None:
        averages = average_rows(report)
        lines = format_rows([*report.per_class, *averages]).splitlines()
        cut = len(lines) - len(averages)
        blocks += ["\n".join(lines[:cut]), "\n".join(lines[cut:])]
    blocks += missing(report)
    return "\n\n".join(blocks)


def average_rows(report: "Report") -> list[dict]:
    """Returns the averages over classes as rows like those of `report.per_class`."""
    support = sum(row["support"] for row in report.per_class)
    return [
        {
            "class": f"{average} average",
            **{figure: report.metrics[f"{average}_{figure}"] for figure in FIGURES},
            "support": support,
        }
        for average in ("macro", "micro")
        if f"{average}_f1" in report.metrics
    ]


def missing(report: "Report") -> list[str]:
    """Returns a sentence on the classes without examples, or nothing."""
    names = [row["class"] for row in report.per_class or [] if not row["support"]]
    if not names:
        return []
    shown = ", ".join(map(one_line, names[:_MOST_NAMES]))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    note = "counted as 0 in the macro averages"
    return [f"Without examples in this data ({note}): {shown}{more}."]


def _figures(report: "Report") -> str:
    return ", ".join(
        f"{name} {number(value)}"
        for name, value in report.metrics.items()
        if not name.startswith(("macro_", "micro_"))
    )
