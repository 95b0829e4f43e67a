"""Size, sparsity, latency and accuracy of two models, side by side in one process."""

import itertools
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.compress.reports import Figures
from tlkeras.export.copies import plain_copy
from tlkeras.export.interface import Interface
from tlkeras.export.replacing import size_of
from tlkeras.export.samples import Samples, samples
from tlkeras.export.scoring import milliseconds, scores
from tlkeras.lora import adapted_layers
from tlkeras.runtime import current_runtime

_TIMED = 8


def working_copy(model: keras.Model) -> keras.Model:
    """Returns a copy of `model`, without adapters, compiled as it is."""
    with current_runtime().scope():
        copy = plain_copy(model)
    compile_like(copy, model)
    return copy


def compile_like(copy: keras.Model, model: keras.Model) -> None:
    """Compiles a copy as the model is, with an optimizer that has not seen a step."""
    arguments = dict(_keras.compile_arguments(model))
    arguments["optimizer"] = _keras.unused_optimizer(arguments["optimizer"])
    with current_runtime().scope():
        copy.compile(**arguments)


def measure(
    models: dict[str, keras.Model],
    data: dict[str, Any],
    test: dict[str, Any] | None,
) -> dict[str, Figures]:
    """Measures models next to each other.

    Args:
        models: The models by name.
        data: For each some inputs to time it on.
        test: For each the same labelled examples, as it takes them, or `None`.
    """
    times = _times(models, data)
    found: dict[str, dict[str, float]] = {name: {} for name in models}
    for name, each in (test or {}).items():
        found |= scores(Interface(models[name]), {name: runner(models[name])}, each)
    return {
        name: Figures(
            size=_file_size(model),
            milliseconds=times[name],
            scores=found[name],
            parameters=model.count_params(),
            zeros=count_zeros(model.weights),
            compressed=_compressed(model),
        )
        for name, model in models.items()
    }


def runner(model: keras.Model) -> Callable[[Samples | dict], dict[str, np.ndarray]]:
    """Returns a function from inputs by name to outputs by name."""

    interface = Interface(model)

    def run(inputs: Samples | dict) -> dict[str, np.ndarray]:
        arrays = inputs.arrays if isinstance(inputs, Samples) else inputs
        packed = interface.pack(arrays)
        return interface.named_outputs(keras.Model.predict_on_batch(model, packed))

    return run


def count_zeros(weights: list[keras.Variable]) -> int:
    """Returns how many numbers in weights are exactly zero."""
    return sum(int(np.sum(_values(weight) == 0)) for weight in weights)


def _times(models: dict[str, keras.Model], data: dict[str, Any]) -> dict[str, float]:
    """Times each model on inputs of its own, in turn."""
    inputs = {
        name: samples(Interface(model), _inputs(data[name]), _TIMED)
        for name, model in models.items()
    }

    def on_own_inputs(name: str) -> Callable[[Any], Any]:
        run, ones = runner(models[name]), itertools.cycle(inputs[name].one_by_one())
        return lambda _: run(next(ones))

    runs = {name: on_own_inputs(name) for name in models}
    return milliseconds(runs, next(iter(inputs.values())))


def _inputs(data: Any) -> Any:
    """Leaves out labels of arrays, which may have any form."""
    return data[0] if isinstance(data, tuple) else data


def _file_size(model: keras.Model) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        plain_copy(model).save(path)
        return size_of(path)


def _compressed(model: keras.Model) -> int:
    """Returns the bytes of all weights after gzip, each by itself."""
    if adapted_layers(model):
        model = plain_copy(model)
    return sum(len(zlib.compress(_values(v).tobytes())) for v in model.weights)


def _values(variable: keras.Variable) -> np.ndarray:
    return np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
