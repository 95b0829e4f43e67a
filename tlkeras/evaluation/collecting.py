"""One pass over data: labels, float32 outputs and sample weights as arrays."""

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.distribution import (
    Share,
    Workers,
    compiles_each_shape,
    in_one_shape,
    losing_a_worker,
    plain_model,
    strategy_of,
)
from tlkeras.distribution import predict as predict_by
from tlkeras.inputs.examples import Reading, reading_of
from tlkeras.inputs.given import bounded, end_is_told, ends, weight_array
from tlkeras.problem import input_of

_BATCH_SIZE = 32

# What looks at each batch: from its inputs and labels to one value per example.
Observer = Callable[[Any, np.ndarray], Any]
# From what a model gives for a batch to the outputs of each head.
ByHead = Callable[[Any], Mapping[str, Any]]
# What raises where a batch's labels and its outputs by head cannot belong together.
Check = Callable[[np.ndarray, dict[str, np.ndarray]], None]


class Collected(NamedTuple):
    """What one pass found, an entry per example in the order read.

    Attributes:
        labels: Labels of shape `(n, ...)`.
        outputs: By head, float32 outputs of shape `(n, outputs)`.
        weights: Sample weights of shape `(n,)`, or `None` where the data has none.
        seen: What each observer returned, of shape `(n,)`, in their order.
    """

    labels: np.ndarray
    outputs: dict[str, np.ndarray]
    weights: np.ndarray | None
    seen: list[np.ndarray]


@end_is_told()
def collect(
    model: keras.Model,
    data: Any,
    verbose: str | int,
    by_head: ByHead,
    check_first_batch: Check,
    observers: Sequence[Observer] = (),
) -> Collected:
    """Runs `model` over `data` once and keeps labels and outputs side by side.

    Args:
        model: `keras.Model`.
        data: As in `evaluate`, labels in one array.
        verbose: `"auto"`, 0, 1 or 2.
        by_head: Tells the outputs of its heads apart.
        check_first_batch: Looks at the first batch.
        observers: Functions of a batch's inputs and labels, called in the same pass.
    """
    workers = Workers(strategy_of(model))
    reading = reading_of(data)
    # Where some worker would have no example, each looks at all of them.
    if reading is not None and 1 < workers.count <= len(reading.examples):
        return _collect_shares(
            workers, reading, model, verbose, by_head, check_first_batch, observers
        )
    batches, count = batches_of(data)
    bar = _keras.ProgressBar(count, verbose=1 if verbose == "auto" else verbose)
    predict = _predictor(model)
    labels, outputs, weights = [], [], []
    seen: list[list[np.ndarray]] = [[] for _ in observers]
    for step, batch in enumerate(batches, start=1):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        given, y = y, label_array(y)
        if not len(y):
            continue
        if not labels:
            _check_inputs(model, x)
            # What `Splits` hold was looked at when it was read.
            if reading is None or reading.problem is None:
                values = data[0] if isinstance(data, tuple) else x
                input_of(model).check_values(model, values, "data")
        labels.append(y)
        outputs.append(_output_arrays(by_head(predict(x)), len(y)))
        weights.append(_weight_array(weight, len(y)))
        for values, observe in zip(seen, observers, strict=True):
            values.append(np.asarray(observe(x, y)))
        if len(labels) == 1:
            check_first_batch(np.asarray(given), outputs[0])
        bar.update(step)
    if not labels:
        raise ValueError(
            "`data` is empty: it gave no examples. Pass a split that holds some, and "
            "build a dataset that has been read to its end anew."
        )
    if count is None:
        bar.update(step, finalize=True)
    weighted = all(weight is not None for weight in weights)
    return Collected(
        _join(labels),
        {name: _join([part[name] for part in outputs]) for name in outputs[0]},
        _join(weights) if weighted else None,
        [np.concatenate(values) for values in seen],
    )


def _collect_shares(
    workers: Workers, reading: Reading, model: keras.Model, verbose: Any, *rest: Any
) -> Collected:
    """Has each worker collect its share; returns all of it on every worker."""
    share = Share(reading.examples, workers.index, workers.count)
    verbose = verbose if workers.is_chief else 0
    mine = collect(model, share.dataset(reading.batch_size), verbose, *rest)
    arrays = [mine.labels, *mine.outputs.values(), *mine.seen]
    with losing_a_worker(workers, "the evaluation begins anew"):
        labels, *rest = (_interleaved(workers, array) for array in arrays)
    heads = len(mine.outputs)
    outputs = dict(zip(mine.outputs, rest[:heads], strict=True))
    return Collected(labels, outputs, None, rest[heads:])


def _interleaved(workers: Workers, mine: np.ndarray) -> np.ndarray:
    """Returns the arrays of all workers' shares as one, in the order of the data."""
    buffer = io.BytesIO()
    np.save(buffer, mine, allow_pickle=False)
    parts = [
        np.load(io.BytesIO(content), allow_pickle=False)
        for content in workers.gather_bytes(buffer.getvalue())
    ]
    whole = np.empty((sum(map(len, parts)), *mine.shape[1:]), mine.dtype)
    for index, part in enumerate(parts):
        whole[index :: workers.count] = part
    return whole


def batches_of(data: Any) -> tuple[Iterable[Any], int | None]:
    """Returns the batches of `data`, and their number where it is known."""
    if isinstance(data, tuple):
        return _array_batches(data)
    _check_ends(ends(data))
    if isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
        return (data[i] for i in range(count)), count
    if callable(getattr(data, "cardinality", None)):
        count = int(data.cardinality())
        return bounded(data, "data"), count if count >= 0 else None
    parts = " Pass one of its parts: `.test`." if hasattr(data, "test") else ""
    raise ValueError(
        "`data` must be a batched `tf.data.Dataset`, a `keras.utils.PyDataset`, or a "
        f"tuple of arrays (x, y) or (x, y, sample_weight). Received: {type(data)}."
        f"{parts}"
    )


def _check_ends(ends: bool) -> None:
    if not ends:
        raise ValueError(
            "`data` must end, or the evaluation would not. Received endless data: "
            "leave out `.repeat()`, or limit it with `.take(batches)`."
        )


def _array_batches(data: tuple) -> tuple[Iterable[Any], int]:
    if len(data) not in (2, 3) or data[1] is None:
        raise ValueError(
            "`data` as a tuple must be (x, y) or (x, y, sample_weight): an evaluation "
            f"needs labels. Received a tuple of {len(data)}."
        )
    if len(data) == 3 and data[2] is not None:
        data = (*data[:2], weight_array(data[2], "`sample_weight`"))
    data = tuple(_arrays(part) for part in data if part is not None)
    lengths = [len(array) for array in keras.tree.flatten(data)]
    if len(set(lengths)) != 1:
        raise ValueError(
            "`data` must hold as many labels (and sample weights) as examples. "
            f"Received arrays of lengths {lengths}."
        )

    def cut(start: int) -> Any:
        stop = start + _BATCH_SIZE
        return keras.tree.map_structure(lambda array: array[start:stop], data)

    starts = range(0, lengths[0], _BATCH_SIZE)
    return (cut(start) for start in starts), math.ceil(lengths[0] / _BATCH_SIZE)


def _check_inputs(model: keras.Model, x: Any) -> None:
    """Raises `ValueError` where images are not of the size or colours of the model."""
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    received = tuple(getattr(x, "shape", ()))
    if len(shapes) > 1:
        input_of(model).check(model, x, "data")
    if len(shapes) != 1 or len(shapes[0]) != len(received):
        return
    pairs = zip(shapes[0][1:], received[1:], strict=True)
    if any(wanted not in (None, came) for wanted, came in pairs):
        raise ValueError(
            f"`data` does not fit the model: inputs of shape {received} came, the "
            f"model takes {shapes[0]} (None is the batch or any size). Read the data "
            "with the model's image size and colours."
        )


def _arrays(part: Any) -> Any:
    """Returns arrays as they are, lists of examples as arrays, structures of both."""
    if isinstance(part, dict):
        return {name: _arrays(value) for name, value in part.items()}
    several = isinstance(part, list | tuple) and len(part)
    if several and hasattr(part[0], "shape") and len(part[0].shape):
        return [_arrays(value) for value in part]
    return part if keras.ops.is_tensor(part) else np.asarray(part)


def _predictor(model: keras.Model) -> Callable[[Any], Any]:
    """Returns a function from one batch of inputs to the outputs of `model`."""
    if keras.backend.backend() != "tensorflow":
        # Other backends take NumPy arrays, not the tensors of `tf.data`.
        return lambda x: model.predict_on_batch(keras.tree.map_structure(np.asarray, x))
    strategy = getattr(model, "distribute_strategy", None)
    ready = input_of(model).ready
    if getattr(strategy, "num_replicas_in_sync", 1) == 1:
        if not compiles_each_shape(model):
            return _traced_once(model, ready)
        predict = in_one_shape(model.predict_on_batch)
        return lambda x: predict(ready(x))
    if Workers(strategy).count > 1:
        local = plain_model(model)
        return lambda x: local.predict_on_batch(ready(x))
    # `predict_on_batch` gives the whole batch to every replica and joins the copies;
    # `predict` shares it out.
    return lambda x: predict_by(
        model, model.predict, ready(x), len(keras.tree.flatten(x)[0]), verbose=0
    )


def label_array(y: Any) -> np.ndarray:
    """Returns a batch's labels as an array, or raises `ValueError`."""
    if y is None:
        raise ValueError(
            "`data` has no labels: its batches hold inputs only. Pass batches of "
            "(x, y) or (x, y, sample_weight)."
        )
    if isinstance(y, dict | list | tuple):
        raise ValueError(
            "`data` must have one array of labels per batch. Received labels of type "
            f"{type(y)}: evaluate each output by itself."
        )
    labels = np.asarray(y)
    if labels.ndim == 0 or labels.dtype.kind not in "biuf":
        raise ValueError(
            "Labels must come in batches and be numbers (class numbers from 0, one-hot "
            f"rows, values). Received labels of shape {labels.shape} and dtype "
            f"{labels.dtype}. Batch the dataset; turn names into numbers, as "
            "`tl.from_arrays(x, y)` does."
        )
    return labels.astype("int8") if labels.dtype.kind == "b" else labels


def _output_arrays(outputs: Mapping[str, Any], examples: int) -> dict[str, np.ndarray]:
    return {name: _output_array(each, examples) for name, each in outputs.items()}


def _output_array(outputs: Any, examples: int) -> np.ndarray:
    leaves = keras.tree.flatten(outputs)
    shapes = [tuple(leaf.shape) for leaf in leaves]
    if len(leaves) != 1 or len(shapes[0]) not in (1, 2):
        raise ValueError(
            "The model must have one output, of shape (n, outputs) or (n,). Received "
            f"outputs of shapes {shapes}."
        )
    if shapes[0][0] != examples:
        raise ValueError(
            "The model must give one prediction per label. Received "
            f"{shapes[0][0]} predictions for a batch of {examples} labels."
        )
    scores = np.asarray(leaves[0], dtype="float32").reshape(examples, -1)
    if not np.isfinite(scores).all():
        raise ValueError(
            "The model's outputs are not finite (NaN or infinite) for some examples, "
            "so no figure can be given. Check the inputs for NaN, and whether the "
            "training diverged (a smaller `learning_rate`, another precision)."
        )
    return scores


def _weight_array(weight: Any, examples: int) -> np.ndarray | None:
    if weight is None:
        return None
    weights = weight_array(weight, "`sample_weight`")
    if weights.size != examples:
        raise ValueError(
            "`sample_weight` must have one weight per example. Received weights of "
            f"shape {weights.shape} for a batch of {examples} examples."
        )
    return weights.ravel()


def _join(parts: list[np.ndarray]) -> np.ndarray:
    try:
        return np.concatenate(parts)
    except ValueError as error:
        shapes = sorted({part.shape[1:] for part in parts})
        raise ValueError(
            f"Labels must have one shape in all batches. Received shapes {shapes}, "
            "the batch dimension left out."
        ) from error


def _traced_once(model: keras.Model, ready: Callable[[Any], Any]) -> Callable:
    """Returns `predict_on_batch`, traced for the last, shorter batch as well."""
    traced = False

    def predict(x: Any) -> Any:
        nonlocal traced
        if not traced:
            _keras.trace_prediction(model, ready(x))
            traced = True
        return model.predict_on_batch(x)

    return predict
