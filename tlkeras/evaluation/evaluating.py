"""The verb `evaluate`: from a model and data to a report."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tlkeras._memory import naming_the_batch
from tlkeras._validation import check_choice
from tlkeras.evaluation.aligned import Aligned, check_values
from tlkeras.evaluation.arguments import part_of
from tlkeras.evaluation.collecting import Collected, collect
from tlkeras.evaluation.examples import EvaluatedExamples, digests
from tlkeras.evaluation.gap import DomainGap, gap_between
from tlkeras.evaluation.heads import Heads
from tlkeras.evaluation.report import Report
from tlkeras.inputs.examples import Reading, reading_of
from tlkeras.inputs.given import with_one_input
from tlkeras.inputs.windows import averaged
from tlkeras.outputs import labels_given, output_of_task
from tlkeras.problem import Problem, input_of, problem_of

# How many examples of the data and of the reference are compared.
_COMPARED = 500


# A dictionary of several heads is `Any` to a type checker, which cannot know which of
# the two comes: the attributes of one need no cast.
def evaluate(
    model: keras.Model,
    data: Any,
    *,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    slices: Any = None,
    groups: Any = None,
    thresholds: Any = None,
    reference: Any = None,
    verbose: str | int = "auto",
) -> Report | Any:
    """Evaluates a model on labelled data and reports how good it is.

    The data is read once; predictions and labels come from the same batches, so a
    dataset that shuffles anew on every pass is evaluated rightly as well. Data of
    `Splits` is read in its stored order, also where it is shuffled for training.

    `slices` tell whether the model does as well on every part of the data: on every
    camera, hospital, dialect, skin tone. `groups` tell which examples belong together,
    the frames of one video or the scans of one patient: they are no independent
    evidence, and intervals and tests take account of that.

    `reference` tells whether the data are like others, such as those that the model
    was chosen by: where they are not, figures on the one need not hold for the other.

    Whether outputs are probabilities or logits, to which softmax or sigmoid is then
    applied, is told by the last activation and by the `from_logits` of the loss that
    the model was compiled with. Only where neither tells, their values do: they are
    logits where, of exclusive classes, a row has a negative value or does not sum to 1,
    and otherwise where a value lies outside 0 to 1.

    Args:
        model: `keras.Model` with one output of shape `(n, outputs)` or `(n,)`, or with
            a dictionary of such by head.
        data: Batched `tf.data.Dataset` or `keras.utils.PyDataset` of `(x, y)` or
            `(x, y, sample_weight)`, or a tuple of such arrays, which is read in
            batches of 32. `y` holds class numbers from 0, of shape `(n,)` or
            `(n, 1)`, or one-hot rows; rows of zeros and ones for labels that are
            not exclusive; numbers for a regression. Sample weights weigh the loss,
            as in `keras.Model.evaluate`; all other figures count every example
            once. Of a model whose heads have names, labels by head.
        task: `"classification"` (exclusive classes), `"multi_label"` or
            `"regression"`. Defaults to what the model is for (`model.problem`); of
            a model that tlkeras did not build it is inferred from its loss, its last
            layer, labels and outputs.
        class_names: Names of the classes in the order of the labels. Defaults to
            those of `model.problem`, else the numbers from 0.
        slices: From names to values, one per example: an array in the order of the
            data; a function of a batch `(x, y)` that returns an array; or, for image
            files, `"folder"` (the class folder and what is below it) or `"subfolder"`
            (the folder that a file lies in, of whatever class); or, of tables, columns
            that the model reads: `["sex", "age"]`. A data frame's columns, or values
            alone, will do as well. Numbers that differ in more than 10 ways
            are cut at their quartiles; those that are missing are a slice of their own.
        groups: One value per example, an array in the order of the data or a function
            of a batch `(x, y)`; examples of one value belong together.
        thresholds: Of labels that are not exclusive: the probability from which one is
            predicted, a number or one per label, such as `report.thresholds` of
            validation data; of a model with several heads, from the head's name to
            its own. Defaults to those of `model.problem`, else 0.5.
        reference: Examples that the data are compared with, as `tl.domain_gap` takes
            them, such as `data.val`; 500 of each, which the model runs over once more.
            Better those than `data.train`: features of examples that were trained on
            are clearer, which counts as a difference where much was trained.
        verbose: `"auto"` or 1 (progress bar), 2 (one line) or 0 (silent).

    Returns:
        A `Report`; of a model with several heads, one for each head that has labels,
        in a dictionary. It is of the examples all of whose labels of that head are
        known. `y` of a function in `slices` then holds packed rows. With `reference`
        it says whether the data differ, and `.domain_gap` has the details.

    Raises:
        ValueError: If the data is empty, endless, of no known kind or without
            labels; if labels, outputs, `class_names`, `slices`, `groups` or
            `thresholds` do not fit each other; if
            `reference` is nothing that the model takes, or either has fewer than 8
            examples; if the model gives values that are not finite; or if the task
            cannot be told.

    Example:
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    >>> x, y = np.array([[3.0, 0.0], [0.0, 3.0], [2.0, 0.0]]), np.array([0, 1, 1])
    >>> report = evaluate(model, (x, y), class_names=["cat", "dog"], verbose=0)
    >>> report.confusion.tolist()
    [[1, 0], [1, 1]]
    """
    problem, reports = evaluate_heads(
        model,
        data,
        task=task,
        class_names=class_names,
        thresholds=thresholds,
        slices=slices,
        groups=groups,
        reference=reference,
        verbose=verbose,
    )
    return problem.face(reports)


def evaluate_heads(
    model: keras.Model,
    data: Any,
    *,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    thresholds: Any = None,
    slices: Any = None,
    groups: Any = None,
    reference: Any = None,
    verbose: str | int = "auto",
) -> tuple[Problem, dict[str, Report]]:
    """Returns what a model is for, and a report for each head that has labels.

    Args:
        model: As in `evaluate`, like all that follows.
        data: Labelled data.
        task: What the outputs are.
        class_names: Their names.
        thresholds: From which probability labels are given.
        slices: From names to values.
        groups: One value per example.
        reference: What the data are compared with.
        verbose: Whether to show progress.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a `keras.Model`. Received: {type(model).__name__}."
        )
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    if task is not None:
        output_of_task(task)
    if isinstance(data, tuple) and len(data) > 1:
        data = (data[0], labels_given(data[1], "data"), *data[2:])
    data = input_of(model).given(data)
    given, data = data, with_one_input(model, data, "data")
    reading = reading_of(data)
    aligned = Aligned(slices, groups, reading)
    data = _in_stored_order(data, reading)
    heads = Heads(model, task, class_names, thresholds)
    data = heads.with_one_array_of_labels(data)
    heads.check_fits(reading and reading.problem)
    heads.name_by(given)
    size = None if reading is None else reading.batch_size
    # Before the pass: what it refuses is refused at once.
    gaps = _gaps(model, reference, given, verbose)
    with naming_the_batch(size, "Read the data in smaller batches."):
        found = collect(
            model,
            data,
            verbose,
            heads.outputs,
            heads.check_first_batch,
            [digests, *aligned.observers],
        )
    _hear_all(found, model, reading, verbose, heads)
    problem = heads.problem_for(found.labels, found.outputs)
    about = _about(model, problem, reading, len(found.labels))
    return problem, _reports(problem, found, aligned, data, about, gaps)


def _gaps(
    model: keras.Model, reference: Any, data: Any, verbose: Any
) -> dict[str, DomainGap]:
    """Returns how different data are from a reference, by head; nothing without one."""
    known = problem_of(model)
    if reference is None or known is None:
        return {}
    sets = {"reference": reference, "data": data}
    return {
        head: gap_between(
            model, sets, head if known.named else None, _COMPARED, 0, "memory", verbose
        )
        for head in known.outputs
    }


def _hear_all(
    found: Collected,
    model: keras.Model,
    reading: Reading | None,
    verbose: Any,
    heads: Heads,
) -> None:
    """Puts the mean over all windows in the place of outputs of longer examples."""
    windows = None
    if reading is not None:
        windows = input_of(model).windows(reading.examples)
    if windows is None:
        return
    examples, owners = windows
    batches = dataclasses.replace(
        reading, examples=examples, shuffled=False, weights=None
    ).dataset()
    whole = collect(
        model,
        heads.with_one_array_of_labels(batches),
        verbose,
        heads.outputs,
        heads.check_first_batch,
    )
    longer, numbers = np.unique(owners, return_inverse=True)
    means = averaged(whole.outputs, numbers, len(longer))
    for name, outputs in found.outputs.items():
        outputs[longer] = means[name]


def _reports(
    problem: Problem,
    found: Collected,
    aligned: Aligned,
    data: Any,
    about: dict[str, str],
    gaps: Mapping[str, DomainGap],
) -> dict[str, Report]:
    """Returns a report for each head, of the examples whose labels are known."""
    count = len(found.labels)
    slices, groups = aligned.values(found.seen[1:])
    slices = {n: check_values(f"`slices` {n!r}", v, count) for n, v in slices.items()}
    groups = None if groups is None else check_values("`groups`", groups, count)
    inputs = EvaluatedExamples(data, found.labels, found.seen[0])
    reports = {}
    for name, (labels, known) in problem.known(found.labels).items():
        if known.any():
            reports[name] = Report(
                labels[known],
                found.outputs[name][known],
                output=problem.outputs[name],
                sample_weight=part_of(found.weights, known),
                slices={n: values[known] for n, values in slices.items()},
                groups=part_of(groups, known),
                inputs=inputs.select(np.flatnonzero(known)),
                about=about | ({"head": name} if problem.named else {}),
                domain_gap=gaps.get(name),
            )
    if not reports:
        raise ValueError(
            "`data` has no example all of whose labels of a head are known."
        )
    return reports


def _about(
    model: keras.Model, problem: Problem, reading: Reading | None, count: int
) -> dict[str, str]:
    """Returns in words which model was evaluated, on what, and when."""
    backbone = getattr(model, "backbone", None)
    parts = [model.name]
    if backbone is not None:
        parts.append(f"backbone {backbone.name}")
    parts.append(f"{model.count_params():,} parameters")
    source = None if reading is None else reading.examples.source
    data = f"{count} {problem.input.nouns}"
    return {
        "model": ", ".join(parts),
        "data": data if source is None else f"{data} from {source!r}",
        "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def _in_stored_order(data: Any, reading: Reading | None) -> Any:
    """Returns data of `Splits` unshuffled, so that positions mean something."""
    if reading is None or not reading.shuffled:
        return data
    return dataclasses.replace(reading, shuffled=False).dataset()
