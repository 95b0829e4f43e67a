"""What a fit verb has a model keep of its training data: statistics of features."""

from typing import Any

import keras
import numpy as np

from tlkeras.distribution import Workers, strategy_of
from tlkeras.features.head_inputs import fingerprint_below, last_layers
from tlkeras.linear import FeatureStatistics
from tlkeras.training.feeding import Feed
from tlkeras.training.job import Job

# Examples, and numbers, that means and covariances are taken of; examples at once.
_MOST, _MOST_NUMBERS, _ROWS = 4096, 2**24, 256


def keep_statistics(
    job: Job, feed: Feed | None, weights: np.ndarray | None = None
) -> None:
    """Has a model of ours keep statistics of what its heads read.

    Only cached features are looked at: whatever else would have to be read once more.

    Args:
        job: A job that is done.
        feed: What its last phase was fed; `None` where none ran.
        weights: How much each of its rows counts; `None` for the same.
    """
    model = job.model
    if not hasattr(model, "feature_statistics"):
        return
    model.feature_statistics = {}
    if feed is None or feed.features is None or Workers(strategy_of(model)).count > 1:
        return
    outputs = job.problem.outputs_by_head(feed.suffix.output)
    found = {
        head: last
        for head, last in last_layers(feed.suffix, outputs).items()
        if last is not None and job.problem.outputs[head].extends
    }
    if found:
        model.feature_statistics = _statistics(job, feed, found, weights)


def _statistics(
    job: Job, feed: Feed, found: dict, weights: np.ndarray | None
) -> dict[str, FeatureStatistics]:
    features, problem = feed.features, job.problem
    last = last_layers(job.model, problem.outputs_by_head(job.model.output))
    origin = fingerprint_below(job.model, last)
    count, width = len(features), max(each.tensor.shape[-1] for each in found.values())
    most = min(count, _MOST, max(_ROWS, _MOST_NUMBERS // width))
    rows = np.unique(np.linspace(0, count - 1, most).astype(int))
    some, labels = features.at(rows), problem.unpack(np.asarray(features.labels))
    read = _read(feed.suffix, [each.tensor for each in found.values()], some.arrays)
    kept = {}
    for head, vectors in zip(found, read, strict=True):
        output = problem.outputs[head]
        groups = output.groups(labels[head])
        if weights is not None:
            groups = np.where(weights > 0, groups, -1)
        known = groups[rows] >= 0
        vectors, usual = vectors[known], output.usual_size(labels[head])
        if len(vectors) and np.isfinite(vectors).all():
            kept[head] = FeatureStatistics.of(
                vectors, groups[rows][known], usual, origin
            )
    return kept


def _read(suffix: keras.Model, tensors: list, arrays: tuple) -> list[np.ndarray]:
    """Returns what last layers read of cached features, each float32 `(n, width)`."""
    places = {id(tensor): place for place, tensor in enumerate(suffix.inputs)}
    if all(id(tensor) in places for tensor in tensors):
        return [arrays[places[id(t)]].astype("float32") for t in tensors]
    # Nothing is compiled for so few batches.
    probe = keras.Model(suffix.inputs, tensors)
    parts = [
        _as_arrays(probe([array[start : start + _ROWS] for array in arrays]))
        for start in range(0, len(arrays[0]), _ROWS)
    ]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _as_arrays(outputs: Any) -> list[np.ndarray]:
    found = keras.tree.flatten(outputs)
    return [keras.ops.convert_to_numpy(each).astype("float32") for each in found]
