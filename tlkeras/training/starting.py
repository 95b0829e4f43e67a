"""Where a head that trains by gradient starts, and in what units numbers learn."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.inputs import Reading
from tlkeras.outputs.moments import Moments
from tlkeras.training.job import Job

# Of a dataset that only reading it would know, so many batches tell.
_BATCHES = 10


def label_moments(job: Job, reading: Reading | None) -> dict[str, Moments]:
    """Returns mean and deviation of the training labels, by heads that give numbers.

    Args:
        job: The job.
        reading: What is behind its training data, of all workers, if that is known.
    """
    outputs = job.problem.outputs
    if not any(output.has_moments for output in outputs.values()):
        return {}
    by_head = labels_by_head(job, job.train, reading).items()
    found = {name: outputs[name].moments(rows) for name, rows in by_head}
    return {name: moments for name, moments in found.items() if moments is not None}


def labels_by_head(job: Job, data: Any, reading: Reading | None) -> dict[str, Any]:
    """Returns labels of data, or the first of them, by head; nothing where unknown.

    Args:
        job: The job.
        data: Its training or validation data.
        reading: What is behind them, of all workers, if that is known.
    """
    labels = _some_labels(data) if reading is None else reading.examples.labels
    return {} if labels is None else job.problem.unpack(np.asarray(labels))


def start_outputs(
    job: Job, suffix: keras.Model, moments: Mapping[str, Moments], head: bool
) -> bool:
    """Sets what gives outputs to what is best where inputs tell nothing.

    That is, in a model that nothing has trained, a kernel of zeros, and for numbers
    the mean of their labels as bias: the way there from 0 may be longer than training.
    A random kernel says something of each example before any was seen; few examples do
    not erase it.

    Args:
        job: The job.
        suffix: What the phase trains.
        moments: What `label_moments` returned.
        head: Whether the phase trains the head alone; else only numbers are started.

    Returns:
        Whether anything was set.
    """
    record = getattr(job.model, "record", None)
    if record is None or record.runs:
        return False
    found = False
    for name, layer, _ in _output_layers(job, suffix):
        if not (head or name in moments):
            continue
        layer.kernel.assign(keras.ops.zeros_like(layer.kernel))
        if name in moments and layer.bias is not None:
            layer.bias.assign(moments[name].mean)
        found = True
    return found


def label_units(
    job: Job, suffix: keras.Model, moments: Mapping[str, Moments]
) -> dict[int, tuple[float, ...]]:
    """Returns the unit of each number, by the `id` of the variables that give it.

    A model that tlkeras did not build trains as it is.

    Args:
        job: The job.
        suffix: What the phase trains.
        moments: What `label_moments` returned.
    """
    units: dict[int, tuple[float, ...]] = {}
    if getattr(job.model, "record", None) is None:
        return units
    for name, layer, activation in _output_layers(job, suffix):
        if name in moments and activation in (None, "linear"):
            unit = tuple(moments[name].deviation.tolist())
            units.update((id(v), unit) for v in layer.trainable_variables)
    return units


def _output_layers(
    job: Job, suffix: keras.Model
) -> Iterator[tuple[str, keras.layers.Dense, str | None]]:
    """Yields the Dense layer that gives each head's outputs, and its activation."""
    made_by = {id(t): n for n in _keras.graph_nodes(suffix) for t in n.outputs}
    for name, tensor in job.problem.outputs_by_head(suffix.output).items():
        node = made_by.get(id(tensor))
        if node is not None and type(node.operation) is keras.layers.Dense:
            yield name, node.operation, _keras.last_activation(tensor)


def _some_labels(data: Any) -> np.ndarray | None:
    """Returns labels of data that are not known beforehand, where they can be had."""
    if isinstance(data, tuple):
        return np.asarray(data[1])
    if not hasattr(data, "take"):
        return None
    return np.concatenate([np.asarray(batch[1]) for batch in data.take(_BATCHES)])
