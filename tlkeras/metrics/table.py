"""Figures per class: rows that are dictionaries, and print as an aligned table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras.description import aligned

FIGURES = ("precision", "recall", "f1")


class ClassTable(list):
    """List with one dictionary per class: class, precision, recall, f1, support.

    `str()` gives an aligned table; `pandas.DataFrame(table)` a data frame.

    Args:
        rows: Dictionaries with the keys `"class"`, `"precision"`, `"recall"`,
            `"f1"` and `"support"` (number of examples of the class).

    Example:
    >>> row = {"class": "cat", "precision": 1.0, "recall": 0.5, "f1": 2 / 3}
    >>> print(ClassTable([{**row, "support": 4}]))
         precision     recall         f1    support
    cat      1.000      0.500      0.667          4
    """

    def __str__(self) -> str:
        return format_rows(self)


def class_table(
    class_names: Sequence[str], figures: Sequence[np.ndarray]
) -> ClassTable:
    """Makes a `ClassTable` of what scikit-learn gives per class.

    Args:
        class_names: `k` names.
        figures: Precision, recall, F1 and support, arrays of shape `(k,)`.
    """
    precision, recall, f1, support = (np.asarray(part).tolist() for part in figures)
    return ClassTable(
        {"class": name, "precision": p, "recall": r, "f1": f, "support": int(s)}
        for name, p, r, f, s in zip(
            class_names, precision, recall, f1, support, strict=True
        )
    )


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Returns rows of a `ClassTable` as text, one line each below a header."""
    cells = [
        (
            one_line(row["class"]),
            *(f"{row[figure]:.3f}" for figure in FIGURES),
            str(row["support"]),
        )
        for row in rows
    ]
    return "\n".join(aligned([("", *FIGURES, "support"), *cells], least=9))


def number(value: float) -> str:
    """Returns `value` with four decimals, or four digits where it is large or tiny."""
    if value != value:
        return "undefined"
    plain = value == 0 or 1e-3 <= abs(value) < 1e5
    return f"{value:.4f}" if plain else f"{value:.4g}"


def one_line(name: str, limit: int = 32) -> str:
    """Returns `name` without line breaks, cut at `limit` characters."""
    name = " ".join(name.split())
    return name if len(name) <= limit else name[: limit - 3].rstrip() + "..."
