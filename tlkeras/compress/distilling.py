"""The verb `distill`: a small model learns from labels and a larger model's answers."""

import inspect
from dataclasses import replace
from typing import Any

import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_number, unknown_name
from tlkeras.augmentation import resolve_augment
from tlkeras.builders import TransferModel, recording
from tlkeras.compress.measuring import measure
from tlkeras.compress.reports import DistillationReport
from tlkeras.compress.teaching import (
    JointLoss,
    Lessons,
    answers,
    joint_metric,
    packed,
)
from tlkeras.freezing import recompile
from tlkeras.inputs.examples import Examples, Reading, reading_of
from tlkeras.outputs.naming import check_same_classes
from tlkeras.problem import Problem, adopt_names, check_names
from tlkeras.runtime import current_runtime, jit_compile
from tlkeras.training import FineTuneHistory, Recipe, fine_tune
from tlkeras.training.compatibility import check_data, check_model
from tlkeras.training.job import as_dataset, parts_of
from tlkeras.training.own_loss import refuse_own_loss
from tlkeras.training.run_records import facts_of

_OWN = ("model", "train", "validation_data", "verbose")
# What `fine_tune` would need the bare labels for.
_OF_LABELS = ("class_weight", "sampling")


def distill(
    teacher: TransferModel,
    student: TransferModel,
    train: Any,
    validation_data: Any = None,
    *,
    temperature: float = 4.0,
    alpha: float = 0.1,
    test: Any = None,
    verbose: Any = "auto",
    **fine_tuning: Any,
) -> DistillationReport:
    """Trains a student on what its teacher answers, and on the labels.

    A teacher's probabilities tell more than labels do: how like a bee an ant is. At a
    higher temperature small probabilities count more.

    The teacher answers once for each example, and its answers are kept, as the frozen
    part's features are. Each model sees pictures at its own size, read anew from their
    files or resized, and texts by its own tokenizer. With augmentation the student sees
    changed pictures, and the teacher's answers are still those to the plain ones: so
    it must not mix pictures, as `"mixup"` and `"cutmix"` do.

    The student trains by `tl.fine_tune`: a pretrained one needs no more than that;
    one that starts from random weights needs all of its layers and a large rate:
    `head_epochs=0, unfreeze_from=1.0, fine_tune_learning_rate=1e-3,
    recipe=tl.Recipe(train_batch_norm=True)` and many epochs. Where examples have no
    labels, any will do with `alpha=0`.

    Args:
        teacher: A trained `TransferModel` with one head. It stays as it is.
        student: A compiled `TransferModel` of the same task and classes, which is
            trained and afterwards compiled as it was.
        train: A part of `Splits`, a tuple of arrays `(inputs, labels)`, or `Splits`,
            whose `val` then serves as well.
        validation_data: The same for validation after each epoch, or `None`.
        temperature: What the logits of both are divided by; not used for a regression.
        alpha: The share of the labels in the loss, in [0, 1]; the rest is the
            teacher's: the divergence from its probabilities, times the temperature
            squared; of a regression, the squared difference from its numbers.
        test: Labelled data to score both on, as `train`.
        verbose: `"auto"` or 1 (a progress bar), 2 (one line per epoch) or 0 (silent).
        **fine_tuning: Other arguments of `tl.fine_tune`, such as `epochs=` and
            `recipe=`. The recipe cannot be `"auto"`, nor weigh or draw by classes.

    Returns:
        A `DistillationReport`: accuracy, parameters, size and latency of both. Its
        history's loss is the joint one.

    Raises:
        ValueError: If the models are not of one task and classes, the student has a
            `compute_loss` of its own, the data are not as above, augmentation mixes
            labels, or an argument is out of range.
        PhaseError: If the loss is not finite or explodes, a frozen weight changed, or
            no other did.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    >>> y = np.arange(8) % 2
    >>> teacher = tl.image_classifier("glyphnet", 2)
    >>> student = tl.image_classifier("glyphnet", 2, weights=None)
    >>> report = tl.distill(teacher, student, (x, y), head_epochs=0, epochs=1,
    ...                     unfreeze_from=1.0, verbose=0)
    >>> sorted(report.history.history)
    ['accuracy', 'loss']

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network (2015).
    """
    check_number("temperature", temperature, above=0)
    if check_number("alpha", alpha, minimum=0) > 1:
        raise ValueError(f"`alpha` must be at most 1. Received: alpha={alpha!r}.")
    names = set(inspect.signature(fine_tune).parameters) - set(_OWN)
    for name in fine_tuning:
        if name not in names:
            raise unknown_name("argument", name, sorted(names))
    _check_pair(teacher, student)
    _check_recipe(fine_tuning.get("recipe"))
    train, val = parts_of(train, validation_data)
    adopt_names(student, train)
    for data, name in ((train, "train"), (val, "validation_data")):
        check_names(student.problem, data, name)
    readings = [_reading(train, "train")]
    readings.append(None if val is None else _reading(val, "validation_data"))
    for name, reading in zip(("train", "validation_data"), readings, strict=True):
        if reading is not None:
            check_data(student.problem, student, _seen(student, reading), name)
    cache = fine_tuning.get("cache", "auto")
    lessons, width = [], 0
    for reading in readings:
        if reading is None:
            lessons.append(None)
            continue
        taught = answers(
            teacher, _as_seen_by(teacher, reading), reading.batch_size, cache, verbose
        )
        rows = packed(reading.examples.labels, taught)
        width = rows.shape[1] - taught.shape[1]
        lessons.append(_lesson(student, reading, rows))
    output = student.problem.output
    loss = JointLoss(student.loss, output, width, temperature, alpha)
    history = _train(student, loss, lessons, {"verbose": verbose, **fine_tuning})
    taught_by = (
        f"{teacher.name!r} at temperature {temperature:g}, the labels counting "
        f"{alpha:g} of the loss"
    )
    _say_in_record(student, readings, taught_by)
    models = {"teacher": teacher, "student": student}
    data = {name: _seen(model, readings[0]) for name, model in models.items()}
    tests = None
    if test is not None:
        reading = _reading(test, "test")
        tests = {name: _seen(model, reading) for name, model in models.items()}
    figures = measure(models, data, tests)
    return DistillationReport(
        **figures,
        history=history,
        temperature=temperature,
        alpha=alpha,
        notes=(f"temperature {temperature:g}, share of the labels {alpha:g}",),
    )


def _check_pair(teacher: Any, student: Any) -> None:
    for name, model in (("teacher", teacher), ("student", student)):
        ours = isinstance(model, TransferModel)
        if not ours or model.problem.named:
            what = model.problem if ours else type(model).__name__
            raise ValueError(
                f"`{name}` must be a TransferModel with one head, such as "
                f"tl.image_classifier builds. Received: {what!r}."
            )
    check_model(student)
    refuse_own_loss(student, "a student learns from the teacher's answers instead.")
    if teacher is student:
        raise ValueError("`teacher` and `student` are the same model.")
    takes = [model.problem.input for model in (teacher, student)]
    if type(takes[0]) is not type(takes[1]):
        raise ValueError(
            "Teacher and student must be for the same data. Received: a teacher of "
            f"{takes[0].nouns} and a student of {takes[1].nouns}."
        )
    first, second = teacher.problem.output, student.problem.output
    if first.has_rows:
        raise ValueError(
            "tl.distill compares one answer of teacher and student for each example; "
            f"those of a {first.title} are many. Received: {first!r}."
        )
    if not first.fits(second):
        raise ValueError(
            "Teacher and student must be of one task and as many outputs. Received: "
            f"{first.task} with {first.units} and {second.task} with {second.units}."
        )
    check_same_classes("teacher", first.class_names, second.class_names)


def _check_recipe(recipe: Any) -> None:
    """Raises `ValueError` for what does not go with a teacher's answers."""
    if recipe is None:
        return
    if not isinstance(recipe, Recipe):
        raise ValueError(
            "`recipe` must be a `tl.Recipe` or a plan of `tl.plan` here. Received: "
            f"recipe={recipe!r}."
        )
    for name in _OF_LABELS:
        if getattr(recipe, name) is not None:
            raise ValueError(
                f"`{name}` goes by labels, which are not all that a student learns "
                f"from; leave it out. Received: {name}={getattr(recipe, name)!r}."
            )
    _check_augment(recipe.augment)


def _check_augment(augment: Any) -> None:
    # As `_train` has it done: of lessons, no task is known.
    made = resolve_augment(augment, seed=0)
    if made is not None and made.mixes_labels:
        raise ValueError(
            f"`augment` must not mix labels here, as {made} does: the teacher answers "
            "to each example as it is. Take 'light', 'medium', 'strong', or layers and "
            "functions that take pictures alone."
        )


def _reading(data: Any, name: str) -> Reading:
    reading = reading_of(as_dataset(data))
    if reading is None:
        raise ValueError(
            f"`{name}` must be a part of `Splits`, such as `data.train`, or a tuple of "
            "arrays (x, y): the teacher answers once for each example. Received: "
            f"{type(data).__name__}."
        )
    return reading


def _as_seen_by(model: TransferModel, reading: Reading) -> Examples:
    """Returns the examples as a model takes them, or raises `ValueError`."""
    own, about = model.problem.input, f"Model {model.name!r}"
    given = own if reading.problem is None else reading.problem.input
    if type(given) is not type(own):
        raise ValueError(
            f"{about} takes {own.nouns}; the data are {given.nouns}. Teacher and "
            "student must be for the same data."
        )
    return own.seen(reading.examples, about)


def _seen(model: TransferModel, reading: Reading) -> Any:
    """Returns a dataset of the examples as a model takes them."""
    return _with_examples(reading, _as_seen_by(model, reading))


def _lesson(student: TransferModel, reading: Reading, rows: np.ndarray) -> Any:
    return _with_examples(reading, _as_seen_by(student, reading).with_labels(rows))


def _with_examples(reading: Reading, examples: Examples) -> Any:
    return replace(reading, examples=examples).dataset()


def _train(
    student: TransferModel, loss: JointLoss, lessons: list, fine_tuning: dict[str, Any]
) -> FineTuneHistory:
    """Trains the student's layers as another model, whose labels are lessons."""
    problem, output = student.problem, student.problem.output
    width = loss.width + output.units
    with current_runtime().scope():
        pupil = TransferModel(student.input, student.output, name=student.name)
        lessons_of = Lessons(
            output.units, width=width, are_numbers_taught=output.has_moments
        )
        pupil.problem = Problem(problem.input, lessons_of)
        pupil.keep_record(student.record)
        pupil.compile(
            optimizer=_keras.unused_optimizer(student.optimizer),
            loss=loss,
            metrics=[joint_metric(output, loss.width)],
            jit_compile=jit_compile(),
        )
    try:
        history = fine_tune(pupil, *lessons, **fine_tuning)
        student.problem = problem.but(input=pupil.problem.input)
        student.keep_record(pupil.record)
        return history
    finally:
        # The flags of their common layers are as the last phase left them.
        recompile(student)
        # What `calibrate` found does not hold for other weights.
        student.temperature = None


def _say_in_record(student: TransferModel, readings: list, taught_by: str) -> None:
    """Completes the record's last run, which knows of lessons alone."""
    if student.record is None:
        return
    *before, run = student.record.runs
    train, val = (
        None if one is None else facts_of(_seen(student, one), student.problem)
        for one in readings
    )
    run = replace(
        run,
        train=train,
        val=val,
        weights=recording.fingerprint(student),
        taught_by=taught_by,
    )
    student.keep_record(replace(student.record, runs=(*before, run)))
