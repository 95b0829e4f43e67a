"""How active channels are on data, and what the layers after them make of it."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tlkeras import _keras
from tlkeras.compress.channels import Group
from tlkeras.export.interface import Interface
from tlkeras.export.samples import as_samples, batches
from tlkeras.features.extraction import inference_function

# Enough for means and variances of channels; more would only take time.
_BATCHES = 30


@dataclass(frozen=True)
class Activity:
    """What each reader of a group of channels sees of them.

    Attributes:
        means: The channels' means, `(channels,)` for each reader.
        deviations: Their standard deviations, likewise.
    """

    means: tuple[np.ndarray, ...]
    deviations: tuple[np.ndarray, ...]


def measure_activity(
    model: keras.Model, backbone: keras.Model, groups: Sequence[Group], data: Any
) -> list[Activity]:
    """Returns the activity of each group, over some batches of training data."""
    inside = {id(layer) for layer in backbone.layers}
    nested = [g for g in groups if id(g.producer) in inside]
    outer = [g for g in groups if id(g.producer) not in inside]
    calls = [n for n in _keras.graph_nodes(model) if n.operation is backbone]
    # What lies before the backbone, such as the scaling of pixels.
    before = keras.Model(model.inputs, list(calls[0].input_tensors))
    ready, inner = inference_function(before), _probe(backbone, nested)
    whole, totals, count = _probe(model, outer), 0.0, 0
    interface = Interface(model)
    for x, _ in itertools.islice(mixed_batches(data), _BATCHES):
        arrays = list(as_samples(interface, x).arrays.values())
        moments = [*inner(keras.tree.flatten(ready(arrays))), *whole(arrays)]
        totals = totals + np.concatenate([np.ravel(m) for m in moments]) * len(
            arrays[0]
        )
        count += len(arrays[0])
    found = {}
    sizes = [g.width for g in (*nested, *outer) for _ in g.tensors for _ in range(2)]
    values = iter(np.split(totals / count, np.cumsum(sizes)[:-1]))
    for group in (*nested, *outer):
        pairs = [(next(values), next(values)) for _ in group.tensors]
        means = tuple(mean for mean, _ in pairs)
        spread = tuple(np.sqrt(np.maximum(s - m**2, 0)) for m, s in pairs)
        found[id(group)] = Activity(means, spread)
    return [found[id(group)] for group in groups]


def importance(group: Group, activity: Activity) -> np.ndarray:
    """Returns how much the layers after each channel move with it.

    The norm of the filters that make a channel says little where a norm scales it
    afterwards, and a channel that is always the same says nothing, however large it is.
    """
    return sum(
        deviations * np.sqrt((_rows(layer) ** 2).sum(axis=(0, 2)))
        for layer, deviations in zip(group.consumers, activity.deviations, strict=True)
    )


def lost(layer: keras.layers.Layer, means: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Returns what a layer's outputs lose on average with the other channels."""
    gone = np.setdiff1d(np.arange(len(means)), kept)
    return np.einsum("i,pio->o", means[gone], _rows(layer)[:, gone])


def _rows(layer: keras.layers.Layer) -> np.ndarray:
    """Returns a kernel as `(places, inputs, outputs)`."""
    if hasattr(layer, "pointwise_kernel"):
        depthwise = np.asarray(layer.depthwise_kernel, "float32")[..., 0]
        pointwise = np.asarray(layer.pointwise_kernel, "float32")
        depthwise = depthwise.reshape(-1, depthwise.shape[-1], 1)
        return depthwise * pointwise.reshape(1, *pointwise.shape[-2:])
    kernel = np.asarray(layer.kernel, "float32")
    return kernel.reshape(-1, *kernel.shape[-2:])


def _probe(model: keras.Model, groups: Sequence[Group]) -> Any:
    """Returns a function from inputs to means and mean squares of channels."""
    if not groups:
        return lambda inputs: []
    moments = []
    for tensor in (tensor for group in groups for tensor in group.tensors):
        value = ops.cast(tensor, "float32")
        axes = tuple(range(len(tensor.shape) - 1))
        moments += [ops.mean(value, axes), ops.mean(ops.square(value), axes)]
    run = inference_function(keras.Model(model.inputs, moments))
    return lambda inputs: [np.asarray(m) for m in keras.tree.flatten(run(inputs))]


def mixed_batches(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yields batches; of arrays, whose classes may follow each other, mixed ones."""
    if isinstance(data, tuple):
        leaves = keras.tree.flatten(data[0])
        order = np.random.default_rng(0).permutation(len(leaves[0]))
        data = keras.tree.map_structure(lambda rows: np.asarray(rows)[order], data[0])
    return batches(data)
