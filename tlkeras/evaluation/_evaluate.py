"""The verb `evaluate`: from a model and data to a report."""

from collections.abc import Sequence
from typing import Any

import keras

from tlkeras._validation import check_choice, check_same_classes
from tlkeras.data import reading_of
from tlkeras.evaluation._collect import collect
from tlkeras.evaluation._heads import evaluate_heads
from tlkeras.evaluation._interpret import TASKS, interpret
from tlkeras.evaluation.report import Report


def evaluate(
    model: keras.Model,
    data: Any,
    *,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    verbose: str | int = "auto",
) -> Report | dict[str, Report]:
    """Evaluates a model on labelled data and reports how good it is.

    The data is read once; predictions and labels come from the same batches, so a
    dataset that shuffles anew on every pass is evaluated rightly as well.

    Outputs that are not probabilities are taken as logits. With exclusive classes
    that is so where a row has a negative value or does not sum to 1, and softmax is
    applied to all rows; with labels that are not exclusive, and with a single
    output for two classes, where a value lies outside 0 to 1, and sigmoid is
    applied to all values.

    Args:
        model: `keras.Model` with one output of shape `(n, outputs)` or `(n,)`.
        data: Batched `tf.data.Dataset` or `keras.utils.PyDataset` of `(x, y)` or
            `(x, y, sample_weight)`, or a tuple of such arrays, which is read in
            batches of 32. `y` holds class numbers from 0, of shape `(n,)` or
            `(n, 1)`, or one-hot rows; rows of zeros and ones for labels that are
            not exclusive; numbers for a regression. Sample weights weigh the loss,
            as in `keras.Model.evaluate`; all other figures count every example
            once.
        task: `"classification"` (exclusive classes), `"multi_label"` or
            `"regression"`. Defaults to `model.task` if there is one, else it is
            inferred from labels and outputs.
        class_names: Names of the classes in the order of the labels. Defaults to
            `model.class_names` if there is one, else the numbers from 0.
        verbose: `"auto"` or 1 (progress bar), 2 (one line) or 0 (silent).

    Returns:
        A `Report`; of a model with several heads, one for each head that has labels,
        in a dictionary. It is of the examples all of whose labels of that head are
        known.

    Raises:
        ValueError: If the data is empty, endless, of no known kind or without
            labels; if labels, outputs and `class_names` do not fit each other; if
            the model gives values that are not finite; or if the task cannot be
            told.

    Example:
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> x, y = np.array([[3.0, 0.0], [0.0, 3.0], [2.0, 0.0]]), np.array([0, 1, 1])
    >>> report = evaluate(model, (x, y), class_names=["cat", "dog"], verbose=0)
    >>> report.confusion.tolist()
    [[1, 0], [1, 1]]
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a `keras.Model`. Received: {type(model).__name__}."
        )
    if getattr(model, "targets", None) is not None:
        check_choice("verbose", verbose, ("auto", 0, 1, 2))
        return evaluate_heads(model, data, verbose)
    task = task if task is not None else getattr(model, "task", None)
    if task is not None:
        check_choice("task", task, tuple(TASKS))
    if class_names is None:
        class_names = getattr(model, "class_names", None)
    reading = reading_of(data)
    check_same_classes("data", reading and reading.class_names, class_names)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))

    def check_first_batch(labels: Any, outputs: Any) -> None:
        # A mismatch shows on the first batch; an unknown task may need them all.
        if task is not None:
            interpret(labels, outputs, task, class_names)

    labels, outputs, weights = collect(model, data, verbose, check_first_batch)
    return Report(
        labels, outputs, task=task, class_names=class_names, sample_weight=weights
    )
