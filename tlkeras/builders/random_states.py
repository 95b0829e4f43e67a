"""The state of a model's random layers, which are no weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def random_states(model: keras.Model) -> tuple[tuple[int, ...], ...]:
    """Returns the states of the model's random layers, such as dropout."""
    return tuple(
        tuple(keras.ops.convert_to_numpy(v).tolist()) for v in _random_variables(model)
    )


def set_random_states(model: keras.Model, states: Sequence[Sequence[int]]) -> None:
    """Sets what `random_states` returned; another number of them is left alone."""
    variables = _random_variables(model)
    if len(variables) == len(states):
        for variable, state in zip(variables, states, strict=True):
            variable.assign(np.array(state, variable.dtype))


def _random_variables(model: keras.Model) -> list[Any]:
    weights = {id(v) for v in model.weights}
    return [v for v in model.variables if id(v) not in weights]
