"""What a backbone costs: time for an example here, memory and time to train it."""

import math
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.features.extraction import inference_function
from tlkeras.features.splitting import ITEM_SIZE, split_model
from tlkeras.freezing import FreezePoint, find_backbone, freeze_index
from tlkeras.inputs.examples import Examples
from tlkeras.problem import input_of
from tlkeras.training.plan_facts import numbered_blocks

# Examples in a batch that is timed; seconds and runs of it at least.
_BATCH, _SECONDS, _RUNS = 32, 0.3, 5
# A step of training takes about as long as three forward passes: gradients by weights
# and by inputs are each as much work again.
_PASSES = 3
# For each weight that trains: its gradient and Adam's two moments.
_COPIES = 3
# For what a layer gives in training: that itself, and its gradient.
_KEPT = 2
_FLOAT = 4
# Of a sequence whose length nothing tells.
_LENGTH = 128


@dataclass(frozen=True)
class Costs:
    """What a backbone costs.

    Attributes:
        parameters: Its parameters.
        weight_bytes: What its weights take in a file, before compression.
        milliseconds: Of a forward pass, for each example.
        unfreeze_from: The freeze point that the following is for.
        training_bytes: What training from there takes: weights, gradients, Adam's
            moments, and what the trained layers give for a batch. By arithmetic, so
            that it is right to a factor of about two.
        job_seconds: Estimate of the whole job: one pass of the frozen backbone, and
            the epochs of fine-tuning from there. Without what is paid once for any
            number of examples: files opened, graphs traced.
    """

    parameters: int
    weight_bytes: int
    milliseconds: float
    unfreeze_from: FreezePoint
    training_bytes: int
    job_seconds: float


def measure_costs(
    model: keras.Model,
    examples: Examples,
    counts: tuple[int, int],
    batch_size: int,
    unfreeze_from: FreezePoint = "auto",
    seconds_left: float = math.inf,
) -> Costs:
    """Times a model's frozen part on a batch, and works out the rest.

    Args:
        model: Frozen as for phase one.
        examples: Of which the first batch is run.
        counts: How many training and validation examples there are.
        batch_size: Of training.
        unfreeze_from: The freeze point; `"auto"`: what `tl.fine_tune` would take.
        seconds_left: A run that takes longer is not repeated.
    """
    backbone, its_input = find_backbone(model), input_of(model)
    usual = its_input.usual(counts[0], numbered_blocks(backbone))
    if isinstance(unfreeze_from, str) and unfreeze_from == "auto":
        unfreeze_from = usual["unfreeze_from"]
    frozen = freeze_index(backbone, unfreeze_from)
    milliseconds, length = _timed(model, examples, seconds_left)
    parameters = backbone.count_params()
    trained = sum(
        math.prod(v.shape) for x in backbone.layers[frozen:] for v in x.weights
    )
    share, given = _share_above(backbone, frozen, length)
    memory = (parameters + _COPIES * trained) * _FLOAT + _KEPT * batch_size * given
    train, val = counts
    passes = train + val
    if share:
        # The part below once more, for what phase two reads.
        passes += (1 - share) * (train + val)
        passes += usual["epochs"] * share * (_PASSES * train + val)
    return Costs(
        parameters,
        sum(_bytes_of(v) for v in backbone.weights),
        milliseconds,
        unfreeze_from,
        int(memory),
        passes * milliseconds / 1e3,
    )


def _bytes_of(variable: Any) -> int:
    return math.prod(variable.shape) * ITEM_SIZE.get(str(variable.dtype), _FLOAT)


def _timed(
    model: keras.Model, examples: Examples, seconds_left: float
) -> tuple[float, int]:
    """Returns the milliseconds for an example, and how long its sequences are."""
    first = examples.select(np.arange(min(_BATCH, len(examples))))
    x, *_ = _one_batch(input_of(model).prepare(first).examples)
    run = inference_function(split_model(model).whole_prefix())

    def seconds() -> float:
        began = time.perf_counter()
        keras.tree.map_structure(np.asarray, run(x))
        return time.perf_counter() - began

    began = time.perf_counter()
    # The first run also plans the graph.
    took, best = [seconds()], math.inf
    while len(took) <= _RUNS or time.perf_counter() - began < _SECONDS:
        if time.perf_counter() - began > seconds_left:
            break
        took.append(seconds())
    best = min(took)
    parts = keras.tree.flatten(x)
    length = max((p.shape[1] for p in parts if p.ndim == 2), default=_LENGTH)
    return 1e3 * best / len(parts[0]), length


def _one_batch(examples: Any) -> tuple:
    import tensorflow as tf

    if not examples.random_access:
        return next(iter(examples.dataset(_BATCH)))
    return next(iter(examples.in_order(tf.data.Dataset.range(len(examples)), _BATCH)))


def _share_above(backbone: keras.Model, frozen: int, length: int) -> tuple[float, int]:
    """Returns the trained layers' share of the work, and bytes they give an example.

    Work is counted in products of kernels; a sequence's attention is left out.
    """
    above = {id(layer) for layer in backbone.layers[frozen:]}
    work, trained, given = 0.0, 0.0, 0
    for node in _keras.graph_nodes(backbone):
        operation = node.operation
        inside = [operation]
        if isinstance(operation, keras.layers.Layer):
            inside = _keras.sublayers(operation)
        shapes = [[dim or length for dim in t.shape[1:]] for t in node.outputs]
        products = sum(map(_products, inside))
        # Kernels pass over all places of what comes out; the last axis is theirs.
        work += (own := products * math.prod(shapes[0][:-1]))
        if id(operation) in above:
            trained += own
            leaves = sum(1 for layer in inside if len(_sub(layer)) < 2)
            given += sum(map(math.prod, shapes)) * _FLOAT * max(1, leaves)
    return trained / work if work else 0.0, given


def _sub(layer: Any) -> list:
    return _keras.sublayers(layer) if isinstance(layer, keras.layers.Layer) else []


def _products(layer: Any) -> int:
    """Returns the size of a layer's own kernels; a table that is looked up is none."""
    if not isinstance(layer, keras.layers.Layer) or len(_sub(layer)) > 1:
        return 0
    if isinstance(layer, keras.layers.Embedding):
        return 0
    return sum(math.prod(v.shape) for v in layer.weights if len(v.shape) > 1)
