"""Findings about labels: values that cannot be, classes too small or absent.

Labels are those of each part that are there and can be; counts those of each class.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tlkeras.findings import Finding, finding_of_places, places_of
from tlkeras.outputs.column import number_in
from tlkeras.outputs.missing import as_rows

# Fewer examples of a class teach little, or say little of how well it is known.
ENOUGH = {"train": 10, "val": 3, "test": 3}

# What stands between several labels in one text.
_JOINT = re.compile(r"\s*[|;,]\s*")

# How many times as large as the smallest class the largest may be.
BALANCED = 5.0


def impossible_labels(
    parts: Mapping[str, Any], bad: Mapping[str, np.ndarray], valid: str
) -> Iterator[Finding]:
    """Yields what is to be said of labels that cannot be.

    Args:
        parts: The `Examples` of each part.
        bad: Of each part, which labels cannot be, bool `(n,)`.
        valid: What they must be, in words.
    """
    places = [
        [place]
        for part, rows in bad.items()
        for place in places_of(part, parts[part], np.flatnonzero(rows))
    ]
    if places:
        yield finding_of_places(
            "impossible labels",
            "error",
            f"these labels are not {valid}.",
            places,
            "Correct these labels or remove the examples: a loss of them is NaN or an "
            "error.",
        )


def constant_targets(targets: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    """Yields what is to be said of columns of numbers that never change.

    Args:
        targets: Of each part, NaN where missing.
    """
    constant = tuple(
        f"{part}: column {number} is always {values[0]:.4g}"
        for part, rows in targets.items()
        for number, column in enumerate(as_rows(rows).T)
        for values in [column[~np.isnan(column)]]
        if len(values) > 1 and values.min() == values.max()
    )
    if constant:
        yield Finding(
            "constant targets",
            "error" if constant[0].startswith("train") else "warning",
            "all examples of a part have the same target: there is nothing to learn, "
            "or to measure (R2 is not defined).",
            len(constant),
            constant,
            "Check the column of the labels and how the data was split.",
        )


def constant_labels(
    labels: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> Iterator[Finding]:
    """Yields what is to be said of labels that all examples of a part have.

    Args:
        labels: Rows of each part, NaN where missing.
        class_names: The labels' names.
    """
    always = tuple(
        f"{part}: {class_names[i]!r}"
        for part, rows in labels.items()
        for i in np.flatnonzero(np.all(np.isnan(rows) | (rows == 1), axis=0))
        if not np.isnan(rows[:, i]).all()
    )
    if always:
        yield Finding(
            "labels that always apply",
            "warning",
            "every example of a part has them: a model learns to say yes.",
            len(always),
            always,
            "Add examples that have not this label, or leave it out.",
        )


def looks_one_hot(rows: np.ndarray) -> bool:
    """Whether every row of 0 and 1 has a single 1, and there are enough to tell."""
    single = rows.ndim == 2 and rows.shape[1] > 1 and len(rows) >= ENOUGH["train"]
    return bool(single and np.all(rows.sum(axis=1) == 1) and np.all(rows.max(1) == 1))


def one_hot_rows(rows: np.ndarray) -> Iterator[Finding]:
    """Yields what is to be said of labels that look like classes.

    Args:
        rows: Of all parts, NaN where missing.
    """
    if looks_one_hot(rows):
        yield Finding(
            "labels that look like classes",
            "warning",
            "every row has exactly one 1, as one-hot rows of classes have.",
            len(rows),
            (),
            "Where each example has one class, leave out task='multi_label', and "
            "multi_label=True of the model: it is easier to learn and to measure.",
        )


def absent_classes(
    counts: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> Iterator[Finding]:
    """Yields what is to be said of classes without examples."""
    absent = tuple(
        f"{part}: {class_names[i]!r}"
        for part, count in counts.items()
        for i in np.flatnonzero(count == 0)
    )
    if absent:
        yield Finding(
            "classes without examples",
            "error" if absent[0].startswith("train") else "warning",
            "a class without training examples is never predicted; without test "
            "examples nothing is known of it.",
            len(absent),
            absent,
            "Add examples, leave the class out (`class_names=`), or split anew: "
            "`validation_split` and `test_split` give every class its share.",
        )


def similar_names(class_names: Sequence[str]) -> Iterator[Finding]:
    """Yields what is to be said of names that may be the same one, written otherwise.

    They differ in case, blanks, hyphens, what cannot be seen, the way Unicode writes a
    letter, or zeros of a number.
    """
    groups: dict[Any, list[str]] = {}
    for name in class_names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        # Of Unicode's format characters (Cf) are the byte order mark and blanks of no
        # width; of what is but signs something has to stay.
        seen = "".join(c for c in plain if unicodedata.category(c) != "Cf")
        number = number_in(seen)
        key = re.sub(r"[\s_-]+", "", seen) or seen if number is None else number
        groups.setdefault(key, []).append(name)
    alike = tuple(
        " = ".join(map(repr, group)) for group in groups.values() if len(group) > 1
    )
    if alike:
        yield Finding(
            "similar class names",
            "warning",
            "these names differ only in case, blanks, hyphens or characters that "
            "cannot be seen, and count as different classes.",
            len(alike),
            alike,
            "Write each class in one way, in the data and in `class_names`.",
        )


def joined_names(class_names: Sequence[str]) -> Iterator[Finding]:
    """Yields what is to be said of names that seem to be several labels in one text.

    A part of them, `"red"` of `"red|round"`, is in another name, too.
    """
    parts = {name: set(_JOINT.split(name.casefold())) for name in class_names}
    counts = Counter(part for each in parts.values() for part in each)
    joint = tuple(
        repr(name)
        for name, each in parts.items()
        if len(each) > 1 and any(counts[part] > 1 for part in each)
    )
    if joint:
        yield Finding(
            "joined class names",
            "warning",
            "these names look like several labels each, and count as classes of their "
            "own.",
            len(joint),
            joint,
            "Where an example has several labels, give a list of them: "
            "`column.str.split('|')`.",
        )


def small_classes(
    counts: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> Iterator[Finding]:
    """Yields what is to be said of classes with few examples."""
    small = tuple(
        f"{part}: {class_names[i]!r} has {count[i]}, {ENOUGH[part]} are few"
        for part, count in counts.items()
        for i in np.flatnonzero((count > 0) & (count < ENOUGH[part]))
    )
    if small:
        yield Finding(
            "small classes",
            "warning",
            "so few examples teach a class poorly, and measure it to no more than a "
            "third or so.",
            len(small),
            small,
            "Collect more, merge classes, or augment; report the range over several "
            "seeds.",
        )


def imbalance(
    counts: np.ndarray, class_names: Sequence[str], measure: str
) -> Iterator[Finding]:
    """Yields what is to be said of classes of very different size.

    Args:
        counts: Of training.
        class_names: The classes' names.
        measure: The figure that hides it.
    """
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return
    order = present[np.argsort(-counts[present], kind="stable")]
    ratio = counts[order[0]] / counts[order[-1]]
    if ratio < BALANCED:
        return
    smaller = order[counts[order] * BALANCED <= counts[order[0]]]
    yield Finding(
        "class imbalance",
        "warning",
        f"in training the largest class, {class_names[order[0]]!r}, has "
        f"{counts[order[0]]} examples, {ratio:.3g} times as many as the smallest: "
        f"{measure} hides how well small classes are known.",
        len(smaller),
        tuple(f"{class_names[i]!r} has {counts[i]}" for i in smaller[::-1]),
        "Train with `class_weight='balanced'` or `sampling='balanced'`, and look at "
        "the F1 of each class.",
    )
