"""Whether a model can be trained, and whether data and callbacks fit it."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import unknown_name
from tlkeras.distribution import strategy_of
from tlkeras.freezing import find_backbone
from tlkeras.inputs.examples import reading_of
from tlkeras.inputs.given import (
    check_weights,
    count_of,
    ends,
    is_one_array,
    weight_array,
)
from tlkeras.outputs import check_label_form, check_metric_form, no_numbers
from tlkeras.outputs.weighing import has_value_for_each
from tlkeras.problem import Problem, own_problem
from tlkeras.training.own_loss import check_steps, refuse_own_loss


def check_model(model: keras.Model, backbone: keras.Model | str | None = None) -> None:
    """Raises `ValueError` unless phases can train `model`.

    It has a backbone, a loss and an optimizer, and takes no steps of its own.
    """
    find_backbone(model, backbone)
    if (
        not model.compiled
        or model.optimizer is None
        or not getattr(model, "loss", None)
    ):
        raise ValueError(
            f"Model {model.name!r} is not compiled. Call `model.compile(optimizer=..., "
            "loss=..., metrics=[...])` first; the fit verbs keep its loss, metrics and "
            "kind of optimizer."
        )
    check_steps(model)
    if strategy_of(model) is not None:
        refuse_own_loss(
            model,
            "on several replicas tlkeras averages over the examples of all of them, "
            "which it cannot do inside of such a method. Train it on one device "
            "(`tl.configure(strategy='none')`), or give `model.compile` a loss.",
        )


def check_data(problem: Problem, model: keras.Model, data: Any, name: str) -> Problem:
    """Raises `ValueError` where data cannot be what the model was built for.

    Training labels that look like those of another output are warned of. Labels of data
    sets that tlkeras made are all looked at; of others, the first batch.

    Args:
        problem: What the model is to learn.
        model: The compiled model.
        data: Batched dataset of `(inputs, labels)`, or a tuple of arrays.
        name: What the verb calls them.

    Returns:
        The problem, its input with what the data tell of how they are read.
    """
    if not ends(data):
        raise ValueError(
            f"`{name}` has no end, so that no epoch would have one. Leave out "
            "`.repeat()`, or add `.take(number_of_batches)`."
        )
    inputs, labels, of_data = look_into(data, name)
    problem.input.check(model, inputs, name)
    problem.input.check_values(model, _values(data, inputs), name)
    problem.check_fits(of_data, name, inferred=own_problem(model) is None)
    # `pack_data` has looked at the labels of heads with names.
    if not problem.named:
        for leaf in keras.tree.flatten(labels):
            _check_numbers(leaf, name, problem.output.has_gaps)
    if not problem.named and is_one_array(labels):
        problem.output.check(labels, name)
        check_label_form(model.loss, labels, problem.output.units, name)
    if problem.named or is_one_array(labels):
        _check_metrics(problem, model, labels, name)
        _check_weights(problem, model, data, name)
    if name == "train" and own_problem(model) is not None:
        for head, rows in problem.unpack(labels).items():
            doubt = problem.outputs[head].doubt(
                np.asarray(rows), name, read=of_data is not None
            )
            if doubt is not None:
                warnings.warn(doubt, UserWarning, stacklevel=2)
    if of_data is None:
        return problem.but(input=problem.input.adopt_form(inputs))
    return problem.but(input=problem.input.adopt(of_data.input))


def with_labels_checked(
    problem: Problem, model: keras.Model, data: Any, name: str
) -> Any:
    """Returns batches of the user's own of which each is looked at as the first was.

    Args:
        problem: What the model is to learn.
        model: The compiled model.
        data: As `check_data` found it right; all but a `tf.data.Dataset` with one array
            of labels is returned as it is.
        name: What the verb calls them.
    """
    spec = getattr(data, "element_spec", None)
    is_batches = isinstance(spec, tuple) and len(spec) > 1 and hasattr(data, "map")
    if not is_batches or problem.named or reading_of(data) is not None:
        return data
    import tensorflow as tf

    ignores_some = getattr(model.loss, "ignore_class", None) is not None
    if ignores_some or not isinstance(spec[1], tf.TensorSpec):
        return data

    def checked(labels: np.ndarray) -> np.ndarray:
        if len(labels):
            _check_numbers(labels, name, problem.output.has_gaps)
            problem.output.check(labels, name)
        return labels

    @tf.autograph.experimental.do_not_convert
    def check_batch(inputs, labels, *weights):
        found = tf.numpy_function(checked, [labels], labels.dtype, stateful=False)
        found.set_shape(labels.shape)
        return inputs, found, *weights

    return data.map(check_batch, tf.data.AUTOTUNE, deterministic=True)


@contextmanager
def naming_bad_labels() -> Iterator[None]:
    """Raises the `ValueError` of a batch of labels as such, out of TensorFlow's own."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        said = re.search(r"ValueError: (Labels in .*)", str(error))
        if said is None:
            raise
        raise ValueError(
            f"{said[1]} The first batch is right: it is in a later one."
        ) from error


def _check_metrics(
    problem: Problem, model: keras.Model, labels: np.ndarray, name: str
) -> None:
    """Raises `ValueError` for labels that metrics of Keras do not take."""
    compiled = _keras.compile_arguments(model)
    for kind in ("metrics", "weighted_metrics"):
        metrics = compiled.get(kind)
        if problem.named and not isinstance(metrics, Mapping):
            # Keras hands them out in an order of its own.
            continue
        metrics = problem.by_head(metrics)
        for head, rows in problem.unpack(labels).items():
            about = f"Labels of head {head!r}" if problem.named else "Labels"
            units = problem.outputs[head].units
            check_metric_form(metrics.get(head), rows, units, f"{about} in `{name}`")


def _check_weights(problem: Problem, model: keras.Model, data: Any, name: str) -> None:
    """Raises `ValueError` for sample weights that the losses do not take.

    Arrays are looked at as a whole, of batches the form alone.
    """
    given, about = _weights_of(data), f"Sample weights in `{name}`"
    if given is None:
        return
    if not problem.named or not isinstance(given, Mapping):
        given = dict.fromkeys(problem.outputs, given)
    for head in given:
        if head not in problem.outputs:
            raise unknown_name("head with sample weights", head, problem.outputs)
    absent = [head for head in problem.outputs if head not in given]
    if absent:
        raise ValueError(
            f"{about} must be there for each head, {list(problem.outputs)}, or be one "
            f"array for all. Received: a dictionary of {list(given)}. Add "
            f"`np.ones(n)` for {absent}."
        )
    outputs = problem.outputs_by_head(_keras.as_graph(model).output)
    for head, weights in given.items():
        of_head = f"{about} of head {head!r}" if problem.named else about
        if isinstance(data, tuple):
            weights = check_weights(weights, count_of(data[0]), of_head)
        elif isinstance(weights, Mapping) or not hasattr(data, "element_spec"):
            weights = weight_array(weights, of_head)
        elif weights.dtype.name == "string":
            raise ValueError(f"{of_head} must be numbers. Received: {weights}.")
        elif weights.shape.rank is None:
            continue
        shape, output = tuple(weights.shape), outputs[head]
        if len(shape) == 1 or shape[1:] == (1,) or len(output.shape) != 2:
            continue
        loss = _keras.compiled_loss(model, head)
        if shape[1:] == output.shape[1:] and _has_value_for_each(loss, shape[1]):
            continue
        raise ValueError(
            f"{of_head} must be one for each example, of shape (n,): the loss has one "
            f"value for each. Received: weights of shape {shape}. What is to count "
            "more by its class, `class_weight` says."
        )


def _has_value_for_each(loss: Any, units: int) -> bool:
    """Tells whether a loss takes a weight for each output of an example."""
    if loss is None or isinstance(loss, (dict, list, tuple)):
        # Not ours to tell.
        return True
    name = str(getattr(loss, "name", getattr(loss, "__name__", loss)))
    return not name.startswith("sparse") and has_value_for_each(loss, units)


def _weights_of(data: Any) -> Any:
    """Returns sample weights, by head where they are: of batches one, or its form.

    Those of data that tlkeras has read, it has checked.
    """
    if reading_of(data) is not None:
        return None
    if isinstance(data, tuple):
        parts = data
    elif isinstance(data, keras.utils.PyDataset):
        parts = data[0]
    else:
        parts = getattr(data, "element_spec", ())
    if not isinstance(parts, tuple) or len(parts) != 3 or parts[2] is None:
        return None
    return parts[2]


def check_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Returns the callbacks (one, several, none) as a list, or raises `ValueError`."""
    listed = keras.tree.flatten(() if callbacks is None else callbacks)
    wrong = [x for x in listed if not isinstance(x, keras.callbacks.Callback)]
    if wrong:
        raise ValueError(
            "`callbacks` must be a list of `keras.callbacks.Callback`s. Received: "
            f"{wrong[0]!r}."
        )
    return listed


def check_arrays(data: tuple, name: str) -> None:
    """Raises `ValueError` unless a tuple holds arrays of inputs and of labels."""
    leaves = keras.tree.flatten(data[0]) + keras.tree.flatten(data[1])
    if not all(getattr(leaf, "shape", ()) for leaf in leaves):
        raise ValueError(
            f"`{name}` must hold inputs and labels as arrays; make them of lists "
            "with `np.array`. Received: "
            f"{tuple(type(part).__name__ for part in data)}."
        )
    inputs, labels = (
        sorted({len(leaf) for leaf in keras.tree.flatten(part)}) for part in data[:2]
    )
    if inputs != labels or len(inputs) != 1 or inputs == [0]:
        counts = (" and ".join(map(str, counts)) for counts in (inputs, labels))
        raise ValueError(
            f"`{name}` must hold as many labels as inputs, and at least one. "
            "Received {} inputs and {} labels.".format(*counts)
        )


def look_into(data: Any, name: str) -> tuple[Any, np.ndarray, Problem | None]:
    """Returns what inputs look like, as many labels as are cheap to have, the problem.

    Of data that tlkeras has read, nothing is decoded for it.
    """
    if isinstance(data, tuple) and len(data) in (2, 3):
        first = keras.tree.map_structure(lambda array: array[:1], data[0])
        return first, _as_arrays(data[1]), None
    known = reading_of(data)
    if known is not None and not len(known.examples):
        raise ValueError(f"`{name}` is empty.")
    if known is not None:
        labels = np.asarray(known.examples.labels)
        return data.element_spec[0], labels, known.problem
    try:
        # A generator would be without its first batch.
        first = _first_batch(data)
    except StopIteration:
        raise ValueError(f"`{name}` is empty.") from None
    except TypeError:
        first = None
    if not isinstance(first, tuple) or len(first) not in (2, 3):
        listed = isinstance(data, list)
        raise ValueError(
            f"`{name}` must be a batched dataset of (inputs, labels) or a tuple of "
            f"arrays. Received: {type(data).__name__}"
            + ("." if first is None else f" of {type(first).__name__}.")
            + (" Join batches in a list with `np.concatenate`." if listed else "")
        )
    return first[0], _as_arrays(first[1]), None


def _first_batch(data: Any) -> Any:
    if isinstance(data, keras.utils.PyDataset):
        if not data.num_batches:
            raise StopIteration
        # Keras' iterators, which are such, would go on from there.
        return data[0]
    # Keras takes a list of batches for one batch of as many inputs.
    if isinstance(data, list) or hasattr(data, "__next__"):
        return None
    return next(iter(data))


def _as_arrays(labels: Any) -> Any:
    """Returns labels as an array, or, of several outputs, a structure of such."""
    if isinstance(labels, (list, tuple, dict)) and not np.isscalar(
        next(iter(keras.tree.flatten(labels)), 0)
    ):
        return keras.tree.map_structure(np.asarray, labels)
    return np.asarray(labels)


def _values(data: Any, inputs: Any) -> Any:
    """Returns all inputs that a user gave as an array, else `inputs`, those at hand."""
    if isinstance(data, tuple):
        return data[0]
    known = reading_of(data)
    # What `Splits` hold was looked at when it was read.
    ours = known is None or known.problem is not None
    return inputs if ours else getattr(known.examples, "inputs", inputs)


def _check_numbers(labels: np.ndarray, name: str, has_gaps: bool = False) -> None:
    is_number = np.issubdtype(labels.dtype, np.number) or labels.dtype == bool
    if not is_number or np.iscomplexobj(labels):
        raise no_numbers(labels, f"Labels in `{name}`")
    values = labels.astype("float64")
    fits = ~np.isinf(values) if has_gaps else np.isfinite(values)
    if not np.all(fits):
        raise ValueError(f"Labels in `{name}` hold NaN or infinity.")
