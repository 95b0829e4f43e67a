"""Findings about labels: values that cannot be, classes too small or absent."""

from collections.abc import Iterator, Sequence

import numpy as np

from tlkeras.inputs.examples import Examples
from tlkeras.inputs.findings import Finding, finding_of_places, places_of

# Fewer examples of a class teach little, or say little of how well it is known.
ENOUGH = {"train": 10, "val": 3, "test": 3}

# How many times as large as the smallest class the largest may be.
BALANCED = 5.0


def label_findings(
    parts: dict[str, Examples], task: str, class_names: Sequence[str] | None
) -> Iterator[Finding]:
    """Yields what is wrong with the labels of a data set.

    Args:
        parts: The examples of each part.
        task: As in `Splits`.
        class_names: As in `Splits`.
    """
    bad = {part: _impossible(x.labels, task, class_names) for part, x in parts.items()}
    if any(rows.any() for rows in bad.values()):
        yield _impossible_labels(parts, bad, task, class_names)
    sound = {part: x.labels[~bad[part]] for part, x in parts.items()}
    if task == "regression":
        yield from _constant_targets(sound)
        return
    counts = {
        part: _class_counts(labels, task, len(class_names))
        for part, labels in sound.items()
    }
    yield from _absent_classes(counts, class_names)
    yield from _small_classes(counts, class_names)
    if task == "multi_label":
        yield from _constant_labels(sound, counts, class_names)
    if "train" in counts:
        yield from _imbalance(counts["train"], class_names, task)


def _impossible(
    labels: np.ndarray, task: str, class_names: Sequence[str] | None
) -> np.ndarray:
    """Returns which labels cannot be, bool `(n,)`."""
    if task == "classification":
        return (labels < 0) | (labels >= len(class_names))
    if task == "multi_label":
        return ~np.isin(labels, (0, 1)).all(axis=1)
    return ~np.isfinite(labels.reshape(len(labels), -1)).all(axis=1)


def _impossible_labels(
    parts: dict[str, Examples],
    bad: dict[str, np.ndarray],
    task: str,
    class_names: Sequence[str] | None,
) -> Finding:
    valid = {
        "classification": f"a class id, 0 to {len(class_names or ()) - 1}",
        "multi_label": "a row of 0 and 1",
        "regression": "a finite number",
    }[task]
    places = [
        [place]
        for part, rows in bad.items()
        for place in places_of(part, parts[part], np.flatnonzero(rows))
    ]
    return finding_of_places(
        "impossible labels",
        "error",
        f"these labels are not {valid}.",
        places,
        "Correct these labels or remove the examples: a loss of them is NaN or an "
        "error.",
    )


def _class_counts(labels: np.ndarray, task: str, classes: int) -> np.ndarray:
    if task == "multi_label":
        return labels.sum(axis=0).astype(int)
    return np.bincount(labels, minlength=classes)


def _constant_targets(targets: dict[str, np.ndarray]) -> Iterator[Finding]:
    constant = tuple(
        f"{part}: column {column} is always {values[0]:.4g}"
        for part, rows in targets.items()
        for column, values in enumerate(rows.reshape(len(rows), -1).T)
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


def _constant_labels(
    labels: dict[str, np.ndarray],
    counts: dict[str, np.ndarray],
    class_names: Sequence[str],
) -> Iterator[Finding]:
    always = tuple(
        f"{part}: {class_names[i]!r}"
        for part, count in counts.items()
        for i in np.flatnonzero(count == len(labels[part]))
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


def _absent_classes(
    counts: dict[str, np.ndarray], class_names: Sequence[str]
) -> Iterator[Finding]:
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


def _small_classes(
    counts: dict[str, np.ndarray], class_names: Sequence[str]
) -> Iterator[Finding]:
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


def _imbalance(
    counts: np.ndarray, class_names: Sequence[str], task: str
) -> Iterator[Finding]:
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return
    order = present[np.argsort(-counts[present], kind="stable")]
    ratio = counts[order[0]] / counts[order[-1]]
    if ratio < BALANCED:
        return
    smaller = order[counts[order] * BALANCED <= counts[order[0]]]
    measure = "accuracy" if task == "classification" else "binary accuracy"
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
