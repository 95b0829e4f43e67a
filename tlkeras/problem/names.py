"""Names of classes that data tell, and a model takes that was built without."""

from typing import Any

import keras

from tlkeras.inputs import reading_of
from tlkeras.outputs.naming import (
    check_same_classes,
    names_of_keras_data,
    stand_for,
)
from tlkeras.problem.inference import own_problem
from tlkeras.problem.problem import PREDICTIONS, Problem


def names_of_data(data: Any) -> dict[str, tuple[str, ...]]:
    """Returns the names of classes that data tell, by head.

    Args:
        data: A dataset of `Splits`; one that Keras made of a folder, which has
            `class_names` or `class_indices`; or anything.
    """
    reading = reading_of(data)
    if reading is not None and reading.problem is not None:
        outputs = reading.problem.outputs.items()
        return {n: one.class_names for n, one in outputs if one.class_names is not None}
    names = names_of_keras_data(data)
    return {} if names is None else {PREDICTIONS: names}


def check_names(problem: Problem, data: Any, part: str) -> None:
    """Raises `ValueError` where data name a model's classes in another order.

    Args:
        problem: What the model is for.
        data: As in `names_of_data`.
        part: What the data are called.
    """
    for head, names in names_of_data(data).items():
        if head in problem.outputs:
            check_same_classes(part, names, problem.outputs[head].class_names)


def adopt_names(model: keras.Model, data: Any) -> None:
    """Has a model of tlkeras that knows but numbers of classes take the data's names.

    Args:
        model: Any model; others are left alone.
        data: What it is to be trained on, as in `names_of_data`.
    """
    own = own_problem(model)
    if own is None:
        return
    reading, changed = reading_of(data), {}
    for head, names in names_of_data(data).items():
        output = own.outputs.get(head)
        theirs = reading and reading.problem and reading.problem.outputs[head]
        if output is None or (theirs and not output.takes(theirs)):
            continue
        if stand_for(output.class_names, names):
            changed[head] = output.renamed(names)
    if changed:
        model.problem = own.but(outputs=changed)
