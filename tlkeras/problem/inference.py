"""What a Keras model is for: its own word, or what its graph and its loss tell."""

from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.inputs import Input, input_kinds
from tlkeras.outputs import (
    Anything,
    Output,
    logits_of_keras,
    output_of_keras,
    takes_logits,
)
from tlkeras.problem.problem import Problem


def problem_of(model: keras.Model, labels: np.ndarray | None = None) -> Problem | None:
    """Returns what a model is for: its own word, or what its graph and loss tell.

    The one place where that is inferred for a Keras model that tlkeras did not build.

    Args:
        model: A `keras.Model`.
        labels: Labels that it is to learn, which may tell what its loss does not.

    Returns:
        The `Problem`; `None` where it is not to be told.

    Example:

    >>> inputs = keras.Input((32, 32, 3))
    >>> x = keras.layers.GlobalAveragePooling2D()(inputs)
    >>> model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    >>> problem_of(model)
    Problem(pictures -> classification)
    """
    own = own_problem(model)
    if own is not None:
        return own
    outputs = _outputs_of_keras(model, labels)
    return None if outputs is None else Problem(input_of(model), outputs)


def gives_logits(model: keras.Model) -> bool | None:
    """Returns whether the one output of a model that we did not build is logits.

    Its last activation and its loss tell; `None` where they do not.

    Args:
        model: A `keras.Model`.
    """
    output = getattr(_keras.as_graph(model), "output", None)
    loss = _one_loss(getattr(model, "loss", None))
    return logits_of_keras(loss, _keras.last_activation(output))


def is_of_classes(model: keras.Model) -> bool:
    """Whether the loss of a model that we did not build takes nothing but classes.

    Args:
        model: A `keras.Model`.
    """
    return takes_logits(_one_loss(getattr(model, "loss", None))) is not None


def own_problem(model: keras.Model) -> Problem | None:
    """Returns what a model itself says it is for; `None` of somebody else's."""
    own = getattr(model, "problem", None)
    return own if isinstance(own, Problem) else None


def problem_to_learn(model: keras.Model, labels: Any = None) -> Problem:
    """Returns what a model is to learn: as `problem_of`, or something unknown.

    Args:
        model: A `keras.Model`.
        labels: Labels that it is to learn, where these are at hand.
    """
    found = problem_of(model, labels)
    return Problem(input_of(model), Anything()) if found is None else found


def adopt_reading(model: keras.Model, of_data: Problem | None) -> None:
    """Has a model of tlkeras keep how the data that it was trained on are read.

    Args:
        model: Any model; others are left alone.
        of_data: The data's problem, where it is known.
    """
    own = own_problem(model)
    if own is not None and of_data is not None:
        model.problem = own.but(input=own.input.adopt(of_data.input))


def input_of(model: keras.Model) -> Input:
    """Returns what a model takes: its own word, or what its inputs' shapes tell."""
    own = own_problem(model)
    if own is not None:
        return own.input
    if not _keras.is_functional(model):
        return Input()
    found = (kind.of_model(model) for kind in input_kinds())
    return next((one for one in found if one is not None), Input())


def _outputs_of_keras(model: keras.Model, labels: Any) -> Any:
    """Returns the output, or outputs by name, of a Keras model; `None` if not told."""
    loss = getattr(model, "loss", None)
    # A subclassed model has no graph.
    outputs = getattr(_keras.as_graph(model), "output", None)
    if not isinstance(outputs, dict):
        return _output_of_tensor(outputs, loss, labels)
    losses = loss if isinstance(loss, dict) else dict.fromkeys(outputs, loss)
    found = {
        name: _output_of_tensor(tensor, losses.get(name), head=True)
        for name, tensor in outputs.items()
    }
    return None if None in found.values() else found


def _output_of_tensor(
    tensor: Any, loss: Any, labels: Any = None, head: bool = False
) -> Output | None:
    shape = getattr(tensor, "shape", ())
    if len(shape) != 2 or shape[-1] is None:
        return None
    activation = _keras.last_activation(tensor)
    return output_of_keras(_one_loss(loss), activation, shape[-1], labels, head)


def _one_loss(loss: Any) -> Any:
    """Returns the loss of a model with one output, which may be said as a list."""
    while isinstance(loss, (list, tuple, dict)) and len(loss) == 1:
        (loss,) = loss.values() if isinstance(loss, dict) else loss
    return loss
