"""The verb `evaluate`: from a model and data to a report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tlkeras._validation import check_choice, check_same_classes
from tlkeras.evaluation.aligned import Aligned
from tlkeras.evaluation.collecting import collect
from tlkeras.evaluation.examples import EvaluatedExamples, digests
from tlkeras.evaluation.interpretation import TASKS, interpret
from tlkeras.evaluation.report import Report
from tlkeras.evaluation.several_heads import evaluate_heads
from tlkeras.inputs.examples import Reading, reading_of


def evaluate(
    model: keras.Model,
    data: Any,
    *,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    slices: Any = None,
    groups: Any = None,
    thresholds: Any = None,
    verbose: str | int = "auto",
) -> Report | dict[str, Report]:
    """Evaluates a model on labelled data and reports how good it is.

    The data is read once; predictions and labels come from the same batches, so a
    dataset that shuffles anew on every pass is evaluated rightly as well. Data of
    `Splits` is read in its stored order, also where it is shuffled for training.

    `slices` tell whether the model does as well on every part of the data: on every
    camera, hospital, dialect, skin tone. `groups` tell which examples belong together,
    the frames of one video or the scans of one patient: they are no independent
    evidence, and intervals and tests take account of that.

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
        slices: From names to values, one per example: an array in the order of the
            data; a function of a batch `(x, y)` that returns an array; or, for image
            files, `"folder"` (the class folder and what is below it) or `"subfolder"`
            (the folder that a file lies in, of whatever class). A data frame's columns,
            or values alone, will do as well. Numbers that differ in more than 10 ways
            are cut at their quartiles.
        groups: One value per example, an array or a function as in `slices`.
        thresholds: Of labels that are not exclusive: the probability from which one is
            predicted, a number or one per label, such as `report.thresholds` of
            validation data; of a model with several heads, from the head's name to
            its own. Defaults to `model.thresholds` if there are some, else 0.5.
        verbose: `"auto"` or 1 (progress bar), 2 (one line) or 0 (silent).

    Returns:
        A `Report`; of a model with several heads, one for each head that has labels,
        in a dictionary. It is of the examples all of whose labels of that head are
        known. `y` of a function in `slices` then holds packed rows.

    Raises:
        ValueError: If the data is empty, endless, of no known kind or without
            labels; if labels, outputs, `class_names`, `slices`, `groups` or
            `thresholds` do not fit each other; if
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
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    reading = reading_of(data)
    aligned = Aligned(slices, groups, reading)
    data = _in_stored_order(data, reading)
    if getattr(model, "targets", None) is not None:
        thresholds = _thresholds_of_heads(model, thresholds)
        return evaluate_heads(model, data, aligned, thresholds, verbose)
    task = task if task is not None else getattr(model, "task", None)
    if task is not None:
        check_choice("task", task, tuple(TASKS))
    if class_names is None:
        class_names = getattr(model, "class_names", None)
    if thresholds is None and task in (None, "multi_label"):
        thresholds = getattr(model, "thresholds", None)
    check_same_classes("data", reading and reading.class_names, class_names)

    def check_first_batch(labels: Any, outputs: Any) -> None:
        # A mismatch shows on the first batch; an unknown task may need them all.
        if task is not None:
            interpret(labels, outputs, task, class_names)

    found = collect(
        model, data, verbose, check_first_batch, [digests, *aligned.observers]
    )
    slices, groups = aligned.values(found.seen[1:])
    return Report(
        found.labels,
        found.outputs,
        task=task,
        class_names=class_names,
        sample_weight=found.weights,
        slices=slices,
        groups=groups,
        thresholds=thresholds,
        inputs=EvaluatedExamples(data, found.labels, found.seen[0]),
    )


def _thresholds_of_heads(model: keras.Model, thresholds: Any) -> dict[str, Any] | None:
    """Returns thresholds by head, given or the model's own."""
    if thresholds is None:
        return model.thresholds
    several = [n for n, t in model.targets.by_head.items() if t.task == "multi_label"]
    if not isinstance(thresholds, Mapping) or not set(thresholds) <= set(several):
        raise ValueError(
            "`thresholds` of a model with several heads are given by head, for those "
            f"with labels that are not exclusive: {several}. Received: {thresholds!r}."
        )
    return dict(thresholds)


def _in_stored_order(data: Any, reading: Reading | None) -> Any:
    """Returns data of `Splits` unshuffled, so that positions mean something."""
    if reading is None or not reading.shuffled:
        return data
    return dataclasses.replace(reading, shuffled=False).dataset()
