"""What is wrong with columns of a table: leaks of the label, missing cells."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tlkeras.findings import Finding
from tlkeras.inputs.tables.columns import Columns

# Of a column that gives the label away: at most so much of the error of a guess is left
# when the column alone is known.
_LEFT = 0.02
_FOLDS, _PIECES, _MOST_CLASSES, _LEAST = 5, 64, 100, 30
# From which share of missing cells on a column is told of.
_MISSING = 0.5


def check_columns(parts: Mapping[str, Any], columns: Columns) -> Iterator[Finding]:
    """Yields what is wrong with columns.

    Args:
        parts: The `Examples` of each part.
        columns: What their columns are.
    """
    if "train" in parts and len(parts["train"]) >= _LEAST:
        yield from _leaks(parts["train"], columns)
    empty = [c for c in columns if c.missing > _MISSING]
    if empty:
        yield Finding(
            "columns mostly missing",
            "note",
            "columns are missing in more than half of the training rows.",
            len(empty),
            tuple(f"{column.name}: {column.missing:.0%}" for column in empty),
            "Leave them out, unless it tells something that a cell is missing.",
        )


def _leaks(train: Any, columns: Columns) -> Iterator[Finding]:
    rows = np.asarray(train.inputs)[train.rows]
    labels = np.asarray(train.labels)
    error = _error_of(labels)
    if error is None:
        return
    found = []
    # Texts come last: one that is met once tells nothing of other rows.
    for cell, owner in enumerate(columns.owners[: -len(columns.texts) or None]):
        left = error(_pieces(rows[:, cell]))
        if left <= _LEFT:
            found.append((columns.names[owner], 1 - left))
    best: dict[str, float] = {}
    for name, told in found:
        best[name] = max(told, best.get(name, 0))
    if best:
        yield Finding(
            "columns that give the label away",
            "warning",
            "columns tell the label alone, in rows that they were not fitted on: is it "
            "known when the label is asked for?",
            len(best),
            tuple(f"{name}: {told:.1%} of the error" for name, told in best.items()),
            "Leave out what is known only with the label or after it.",
        )


def _pieces(cells: np.ndarray) -> np.ndarray:
    """Returns whole numbers that stand for a column's values, or ranges of these."""
    values, numbers = np.unique(cells, return_inverse=True)
    if len(values) <= _PIECES:
        return numbers
    # Missing ones come last.
    edges = np.nanquantile(cells, np.linspace(0, 1, _PIECES)[1:-1])
    pieces = np.searchsorted(np.unique(edges), cells)
    return np.where(np.isnan(cells), _PIECES, pieces)


def _error_of(labels: np.ndarray) -> Any:
    """Returns what says which share of a guess's error pieces leave; `None`: unknown.

    Labels are told by the other folds' rows of the same piece.
    """
    if labels.ndim != 1 or np.isnan(labels.astype("float64")).any():
        return None
    folds = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
    if labels.dtype.kind in "iu":
        classes = int(labels.max()) + 1
        if not 2 <= classes <= _MOST_CLASSES:
            return None
        wanted = np.eye(classes)[labels]
        guess = float(np.mean(labels != np.bincount(labels).argmax()))
    else:
        wanted = labels[:, np.newaxis].astype("float64")
        guess = float(labels.var())
    if guess <= 0:
        return None

    def left(pieces: np.ndarray) -> float:
        told = np.zeros_like(wanted)
        for fold in range(_FOLDS):
            held = folds == fold
            sums = np.zeros((_PIECES + 1, wanted.shape[1]))
            counts = np.zeros(_PIECES + 1)
            np.add.at(sums, pieces[~held], wanted[~held])
            np.add.at(counts, pieces[~held], 1)
            means = wanted[~held].mean(axis=0)
            # One row of the mean stands for pieces of which there are few.
            told[held] = (sums + means)[pieces[held]] / (counts + 1)[pieces[held], None]
        if wanted.shape[1] > 1:
            return float(np.mean(told.argmax(axis=1) != labels)) / guess
        return float(np.mean((told - wanted) ** 2)) / guess

    return left
