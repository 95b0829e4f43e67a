"""Batch norms of a pruned network, set to give what they gave before."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.compress.activity import mixed_batches
from tlkeras.export.interface import Interface
from tlkeras.export.samples import as_samples
from tlkeras.features.extraction import inference_function
from tlkeras.freezing import find_backbone

# Pictures whose activations are looked at; all their pixels count.
_EXAMPLES = 32
# A channel that is next to constant tells nothing of how others were scaled.
_LEAST, _MOST = 0.1, 10.0

# Means and deviations of each norm's inputs, by its name.
Moments = dict[str, tuple[np.ndarray, np.ndarray]]


def norm_moments(model: keras.Model, data: Any) -> Moments:
    """Returns what the backbone's batch norms are given, on some training data."""
    found: Moments = {}

    def note(norm: keras.layers.BatchNormalization, values: Any) -> None:
        found[norm.name] = _moments(values)

    _walk(model, data, note)
    return found


def match_norms(
    model: keras.Model,
    original: keras.Model,
    moments: Moments,
    data: Any,
    kept: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Sets moving statistics such that norms give outputs as large as they did before.

    A network without some of its weights gives its norms other inputs: mostly smaller
    ones. With the old statistics a signal dies away from block to block, and training
    has nothing to begin with. Each mean and deviation is moved as far as that of the
    data has moved, so that a model which is as it was stays so; the statistics of the
    new data are not put in place of those of pretraining.

    Args:
        model: The pruned model.
        original: The model it was made of.
        moments: Of `original`, by `norm_moments`.
        data: Training data, the same.
        kept: From a norm's name to the channels that remain, where some were removed.

    Reference:
        Li et al., EagleEye: Fast Sub-net Evaluation for Efficient Neural Network
        Pruning (2020), which renews the statistics.
    """
    before = find_backbone(original)

    def match(norm: keras.layers.BatchNormalization, values: Any) -> None:
        rows = (kept or {}).get(norm.name, slice(None))
        old = before.get_layer(norm.name)
        (was_mean, was_spread), (mean, spread) = moments[norm.name], _moments(values)
        was_mean, was_spread = was_mean[rows], was_spread[rows]
        if np.array_equal(was_mean, mean) and np.array_equal(was_spread, spread):
            return
        ratio = spread / np.maximum(was_spread, 1e-12)
        ratio = np.where(was_spread > 1e-6, np.clip(ratio, _LEAST, _MOST), 1.0)
        moving = (
            np.asarray(old.moving_mean)[rows],
            np.asarray(old.moving_variance)[rows],
        )
        variance = (moving[1] + norm.epsilon) * ratio**2 - norm.epsilon
        norm.moving_mean.assign(mean - (was_mean - moving[0]) * ratio)
        norm.moving_variance.assign(np.maximum(variance, 0.0))

    _walk(model, data, match)


def _walk(
    model: keras.Model,
    data: Any,
    visit: Callable[[keras.layers.BatchNormalization, Any], None],
) -> None:
    """Runs the backbone layer by layer, and shows each batch norm its inputs first."""
    backbone = find_backbone(model)
    nodes = _keras.graph_nodes(backbone)
    norms = [n for n in nodes if isinstance(n.operation, _NORM) and n.operation.built]
    if not norms:
        return
    values = dict(zip(map(id, backbone.inputs), _inputs(model, data), strict=True))
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    last = max(nodes.index(node) for node in norms)
    for node in nodes[: last + 1]:
        if isinstance(node.operation, _NORM):
            visit(node.operation, values[id(node.input_tensors[0])])
        _keras.call_again([node], values)
        for tensor in node.input_tensors:
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                del values[id(tensor)]


_NORM = keras.layers.BatchNormalization


def _inputs(model: keras.Model, data: Any) -> list[Any]:
    """Returns what goes into the backbone, for some examples."""
    backbone, parts, count = find_backbone(model), [], 0
    interface = Interface(model)
    for x, _ in mixed_batches(data):
        parts.append(list(as_samples(interface, x).arrays.values()))
        count += len(parts[-1][0])
        if count >= _EXAMPLES:
            break
    arrays = [np.concatenate(each)[:_EXAMPLES] for each in zip(*parts, strict=True)]
    calls = [n for n in _keras.graph_nodes(model) if n.operation is backbone]
    before = keras.Model(model.inputs, list(calls[0].input_tensors))
    return keras.tree.flatten(inference_function(before)(arrays))


def _moments(values: Any) -> tuple[np.ndarray, np.ndarray]:
    array = np.asarray(keras.ops.cast(values, "float32"))
    axes = tuple(range(array.ndim - 1))
    return array.mean(axis=axes), array.std(axis=axes)
