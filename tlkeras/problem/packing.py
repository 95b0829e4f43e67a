"""Labels of several heads, packed into rows, whatever form the data have."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from tlkeras.inputs import Reading, reading_of
from tlkeras.inputs.given import as_tf_data, ends, with_texts_in_one_array
from tlkeras.problem.problem import Problem


def pack_data(problem: Problem, data: Any, part: str) -> Any:
    """Returns data with labels as the models of a problem are trained on them.

    Args:
        problem: What the models are for.
        data: A tuple of arrays `(inputs, labels)` or `(inputs, labels, weights)` or
            a batched `tf.data.Dataset` of such, with labels by head where heads
            have names; or either of them with rows that are packed already; or a
            part of `Splits` with labels of either form; or `None`. Heads that a
            part of `Splits` lacks are missing.
        part: `"train"`, where each head needs labels, or another name.

    Raises:
        ValueError: If the data are of no such kind, or the labels do not fit the
            heads.
    """
    known = reading_of(data)
    of_data = known and known.problem
    if of_data is not None and of_data.named and not problem.named:
        raise ValueError(
            f"`{part}` has labels of several heads, {list(of_data.outputs)}; the "
            "model has one without a name. Build it with outputs by head, or read "
            "the data with the labels of one."
        )
    if not problem.named or data is None:
        return data
    if of_data is not None and of_data.named:
        return _pack_reading(problem, known, part)
    data = as_tf_data(data)
    if known is not None:
        _check_rows(problem, known.examples.labels, part)
        return data
    if isinstance(data, tuple) and len(data) in (2, 3):
        return _pack_arrays(problem, data, part)
    spec = getattr(data, "element_spec", None)
    if isinstance(spec, tuple) and len(spec) in (2, 3) and hasattr(data, "map"):
        return _pack_batches(problem, data, part)
    raise ValueError(
        f"`{part}` must be a tuple of arrays (inputs, labels) or a batched "
        "`tf.data.Dataset` of such, with a dictionary of labels by head: "
        f"{_example(problem)}. Received: {type(data).__name__}."
    )


def _pack_arrays(problem: Problem, data: tuple, part: str) -> tuple:
    inputs, labels, *weights = with_texts_in_one_array(data)
    count = len(keras.tree.flatten(inputs)[0])
    if isinstance(labels, Mapping):
        rows = problem.pack(labels, count, part)
        if part == "train":
            _check_some(problem, rows)
    else:
        rows = np.asarray(labels)
        _check_rows(problem, rows, part)
    return inputs, rows, *weights


def _pack_reading(problem: Problem, known: Reading, part: str) -> Any:
    """Returns data of `Splits` with rows in the order of the model's heads."""
    examples, of_data = known.examples, known.problem
    problem.check_fits(of_data, part)
    rows = problem.pack(of_data.unpack(examples.labels), len(examples), part)
    if part == "train":
        _check_some(problem, rows)
    if not np.array_equal(rows, examples.labels, equal_nan=True):
        examples = examples.with_labels(rows)
    its_problem = problem.but(input=of_data.input)
    ready = replace(known, examples=examples, problem=its_problem, packed=True)
    return ready.dataset()


def _pack_batches(problem: Problem, data: Any, part: str) -> Any:
    import tensorflow as tf

    if not ends(data):
        # Whoever iterates over them says so.
        return data
    labels = data.element_spec[1]
    if not isinstance(labels, Mapping):
        if labels.shape.rank == 2 and labels.shape[1] == problem.columns:
            return data
        raise _unfit_rows(problem, part, labels.shape)
    names = list(labels)
    for inputs, first, *_ in data.take(1):
        # Here an error has its message; inside of TensorFlow's graph it would not.
        labels = {name: np.asarray(value) for name, value in first.items()}
        problem.pack(labels, len(keras.tree.flatten(inputs)[0]), part)
    absent = [name for name in problem.outputs if name not in names]
    if absent and part == "train":
        raise _nothing_to_learn(absent)

    def pack(*values):
        return problem.pack(dict(zip(names, values, strict=True)), len(values[0]), part)

    @tf.autograph.experimental.do_not_convert
    def pack_batch(inputs, labels, *weights):
        values = [labels[name] for name in names]
        rows = tf.numpy_function(pack, values, tf.float32, stateful=False)
        rows.set_shape((values[0].shape[0], problem.columns))
        return inputs, rows, *weights

    return data.map(pack_batch, tf.data.AUTOTUNE, deterministic=True)


def _check_rows(problem: Problem, rows: np.ndarray, part: str) -> None:
    """Raises `ValueError` unless `rows` could be what `pack` returned."""
    if rows.ndim != 2 or rows.shape[1] != problem.columns:
        raise _unfit_rows(problem, part, rows.shape)
    problem.pack(problem.unpack(rows), len(rows), part)
    if part == "train":
        _check_some(problem, rows)


def _check_some(problem: Problem, rows: np.ndarray) -> None:
    """Raises `ValueError` where a head has no label to learn from."""
    absent = [
        name
        for name, _, columns in problem.places()
        if np.isnan(rows[:, columns]).all()
    ]
    if absent:
        raise _nothing_to_learn(absent)


def _unfit_rows(problem: Problem, part: str, shape: Any) -> ValueError:
    return ValueError(
        f"Labels in `{part}` must be a dictionary by head, {_example(problem)}, or "
        f"packed rows of shape (n, {problem.columns}). Received labels of shape "
        f"{tuple(shape)}."
    )


def _nothing_to_learn(heads: list[str]) -> ValueError:
    return ValueError(
        f"There are no labels for {heads} in `train`: nothing could be learnt. Pass "
        "some, or build the model without these heads."
    )


def _example(problem: Problem) -> str:
    return f"{{{', '.join(f'{name!r}: ...' for name in problem.outputs)}}}"
