"""Adaptation without a step of training: norms, covariances, shares of classes."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.adapting.streams import Streams
from tlkeras.linear import solve
from tlkeras.outputs.linear import linear_targets

# What is added to covariances, as a share of the mean variance.
_SHRINKAGE = 0.1
# Examples whose moments are taken, and how many at once.
_EXAMPLES, _BATCH = 512, 64
_NORM = keras.layers.BatchNormalization
# A deviation moves by no more than this factor.
_MOST_MOVED = 10.0
# Shares of classes that change by more than this are not believed.
_MOST_RATIO = 100.0
_EM_STEPS, _EM_TOLERANCE = 1_000, 1e-6


def norms_of(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the batch norms whose inputs can be looked at."""
    return [
        node.operation
        for nodes in _graphs(model)
        for node in nodes
        if isinstance(node.operation, _NORM)
    ]


def renew_norms(model: keras.Model, streams: Streams) -> str:
    """Gives batch norms statistics of the target; returns what was done.

    Each mean and deviation moves as far as that of the norm's inputs does from source
    to target, so that the outputs on the target lie as those on the source do. The
    statistics of pretraining, which a model is fine-tuned with, are not replaced: they
    are not the source's own either.

    Reference:
        Li et al., Revisiting Batch Normalization For Practical Domain Adaptation
        (2016), which puts the target's statistics in place of the source's own.
    """
    source: dict[int, list] = {}
    for batch in _batches(model, streams, "source"):
        for norm, moments in _walk(model, batch):
            source.setdefault(id(norm), []).append(moments)
    usual = {key: _joined(found) for key, found in source.items()}
    kept = {
        id(norm): (np.array(norm.moving_mean), np.array(norm.moving_variance))
        for norm in norms_of(model)
    }

    def moved(norm: Any, moments: tuple) -> tuple[np.ndarray, np.ndarray]:
        (mean, variance), (was_mean, was) = moments, usual[id(norm)]
        old_mean, old = kept[id(norm)]
        ratio = np.sqrt((variance + norm.epsilon) / (was + norm.epsilon))
        ratio = np.clip(ratio, 1 / _MOST_MOVED, _MOST_MOVED)
        new = (old + norm.epsilon) * ratio**2 - norm.epsilon
        return mean - (was_mean - old_mean) * ratio, np.maximum(new, 0.0)

    found: dict[int, list] = {}
    for batch in _batches(model, streams, "target"):
        for norm, statistics in _walk(model, batch, moved):
            found.setdefault(id(norm), []).append(statistics)
    for norm in norms_of(model):
        mean, variance = (
            np.mean(each, axis=0) for each in zip(*found[id(norm)], strict=True)
        )
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)
    return f"{len(found)} batch norms moved with their inputs"


def align_covariances(model: keras.Model, streams: Streams) -> str:
    """Solves the head on source features with the target's mean and covariance.

    Reference:
        Sun, Feng and Saenko, Return of Frustratingly Easy Domain Adaptation (2016):
        CORAL, algorithm 1.
    """
    last = streams.last_layer(model)
    source, target = (
        streams.answers(model, part).features.astype("float64")
        for part in ("source", "target")
    )
    output = streams.problem.outputs_by_head(model.output)[streams.head]
    labels = streams.labels("source")
    targets = linear_targets(
        labels,
        last.layer.units,
        _keras.compiled_loss(model, streams.head),
        _keras.last_activation(output),
        streams.weights("source"),
        streams.problem.outputs[streams.head].strata(labels),
    )
    if targets is None:
        raise ValueError(
            "method='coral' solves the head anew, which its loss does not allow: it "
            "takes cross-entropy or the squared error. Choose another method."
        )
    moved = (source - source.mean(axis=0)) @ _power(source, -0.5)
    moved = moved @ _power(target, 0.5) + target.mean(axis=0)
    found = solve(moved, targets, seed=0)
    last.layer.kernel.assign(found.kernel)
    last.layer.bias.assign(found.bias)
    return f"the head was solved on {len(source)} source examples, moved"


def shift_by_confusion(model: keras.Model, streams: Streams) -> str:
    """Moves the head's bias by the target's shares of classes, found by BBSE.

    Reference:
        Lipton et al., Detecting and Correcting for Label Shift with Black Box
        Predictors (2018).
    """
    from scipy.optimize import nnls

    said, numbers = _said(model, streams, "validation")
    known = numbers >= 0
    said, numbers = said[known].argmax(axis=1), numbers[known]
    target, _ = _said(model, streams, "target")
    classes = target.shape[1]
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (said, numbers), 1 / len(numbers))
    shares = np.bincount(target.argmax(axis=1), minlength=classes) / len(target)
    ratios, _ = nnls(confusion, shares)
    return _shift(model, streams, ratios, numbers)


def shift_by_em(model: keras.Model, streams: Streams) -> str:
    """Moves the head's bias by the target's shares of classes, found by EM.

    Reference:
        Saerens et al. (2002), section 3.2.
    """
    _, numbers = _said(model, streams, "source")
    target, _ = _said(model, streams, "target")
    priors = _priors(numbers, target.shape[1])
    shares = priors
    for _ in range(_EM_STEPS):
        posterior = target * (shares / priors)
        posterior /= posterior.sum(axis=1, keepdims=True)
        before, shares = shares, posterior.mean(axis=0)
        if np.abs(shares - before).max() < _EM_TOLERANCE:
            break
    return _shift(model, streams, shares / priors, numbers)


UNTRAINED = {
    "norms": renew_norms,
    "coral": align_covariances,
    "bbse": shift_by_confusion,
    "em": shift_by_em,
}


def _graphs(model: keras.Model) -> Iterator[list]:
    nodes = _keras.graph_nodes(model)
    yield nodes
    for node in nodes:
        if _keras.is_functional(node.operation):
            yield from _graphs(node.operation)


def _batches(model: keras.Model, streams: Streams, part: str) -> Iterator[dict]:
    """Yields the inputs of some examples, by the `id` of the model's tensors."""
    examples = streams.parts[part].examples
    rows = np.random.default_rng(0).permutation(len(examples))[:_EXAMPLES]
    some = streams.problem.input.prepare(examples.select(np.sort(rows))).examples
    size = min(_BATCH, len(rows))
    for x, _ in some.dataset(size, shuffle=True, seed=0):
        given = keras.tree.flatten(x)
        # Moments of a last, smaller batch would count as much as the others'.
        if len(given[0]) == size:
            yield {
                id(tensor): keras.ops.cast(each, tensor.dtype)
                for tensor, each in zip(model.inputs, given, strict=True)
            }


def _joined(moments: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and variance over batches of those of each."""
    means, variances = (np.stack(each) for each in zip(*moments, strict=True))
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)


def _walk(
    model: keras.Model,
    values: dict[int, Any],
    change: Callable[[Any, tuple], tuple] | None = None,
) -> Iterator[tuple]:
    """Runs a graph, and yields each batch norm with the moments of its inputs.

    Args:
        model: A functional model.
        values: From the `id` of each input tensor to its value; outputs are added.
        change: Makes moving statistics of these moments, with which the norm then runs
            and which are yielded in their place.
    """
    for node in _keras.graph_nodes(model):
        operation = node.operation
        if _keras.is_functional(operation):
            pairs = zip(operation.inputs, node.input_tensors, strict=True)
            inside = {id(tensor): values[id(given)] for tensor, given in pairs}
            yield from _walk(operation, inside, change)
            pairs = zip(node.outputs, operation.outputs, strict=True)
            values.update((id(given), inside[id(tensor)]) for given, tensor in pairs)
            continue
        if isinstance(operation, _NORM):
            x = np.asarray(keras.ops.cast(values[id(node.input_tensors[0])], "float32"))
            axes = tuple(i for i in range(x.ndim) if i != operation.axis % x.ndim)
            moments = x.mean(axis=axes), x.var(axis=axes)
            if change is not None:
                moments = change(operation, moments)
                operation.moving_mean.assign(moments[0])
                operation.moving_variance.assign(moments[1])
            yield operation, moments
        _keras.call_again([node], values, training=False)


def _power(rows: np.ndarray, power: float) -> np.ndarray:
    """Returns a power of the covariance of rows, with a share of the mean variance."""
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    more = _SHRINKAGE * max(float(np.trace(covariance)) / len(covariance), 1e-12)
    values, vectors = np.linalg.eigh(covariance + more * np.eye(len(covariance)))
    return (vectors * values**power) @ vectors.T


def _said(
    model: keras.Model, streams: Streams, part: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities of classes, and class numbers, -1 where missing."""
    output = streams.problem.outputs[streams.head]
    outputs = streams.answers(model, part).outputs
    said = np.asarray(output.class_probabilities(outputs), "float64")
    return said, np.asarray(output.strata(streams.labels(part)))


def _priors(numbers: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(numbers[numbers >= 0], minlength=classes) + 1e-6
    return counts / counts.sum()


def _shift(
    model: keras.Model, streams: Streams, ratios: np.ndarray, numbers: np.ndarray
) -> str:
    layer = streams.last_layer(model).layer
    output = streams.problem.outputs[streams.head]
    ratios = np.clip(ratios, 1 / _MOST_RATIO, _MOST_RATIO)
    priors = _priors(numbers, len(ratios))
    ratios = ratios / (ratios * priors).sum()
    layer.bias.assign(output.with_shares(np.asarray(layer.bias), ratios))
    shares = ", ".join(
        f"{name} {share:.0%}"
        for name, share in zip(output.class_names, ratios * priors, strict=True)
    )
    return f"estimated shares of the target: {shares}"
