"""`Streams`: source and target, run through the frozen part of a model once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.distribution import strategy_of
from tlkeras.features.extraction import (
    FeatureSet,
    Store,
    choose_store,
    entry_key,
    extract,
    inference_function,
)
from tlkeras.features.head_inputs import LastLayer, last_layers
from tlkeras.features.order import Order, endless_epochs
from tlkeras.features.splitting import split_model
from tlkeras.inputs.examples import Reading, weighed
from tlkeras.problem import Problem

# Batches of the frozen part and of answers.
_BATCH = 64


@dataclass
class Streams:
    """Examples of both domains, and what a frozen part made of them.

    Attributes:
        problem: What the model is for; labels of several heads are packed.
        head: The head that is adapted.
        parts: Readings of `"source"`, `"validation"` and `"target"`.
        cache: Where features are kept, as in `tl.fine_tune`.
        verbose: 0 for no progress bar.
        kept: Features by their keys.
    """

    problem: Problem
    head: str
    parts: dict[str, Reading]
    cache: str | Path | bool
    verbose: Any
    kept: dict[str, FeatureSet] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Texts are put in order of their lengths, once and for all.
        self._prepared = {
            part: self.problem.input.prepare(reading.examples)
            for part, reading in self.parts.items()
        }

    def weights(self, part: str) -> np.ndarray | None:
        """Returns how much each example counts, in the order of the features."""
        weights, order = self.parts[part].weights, self._prepared[part].order
        return weights if weights is None or order is None else weights[order]

    def labels(self, part: str) -> np.ndarray:
        """Returns the adapted head's labels, in the order of the features."""
        examples = self._prepared[part].examples
        return np.asarray(self.problem.unpack(np.asarray(examples.labels))[self.head])

    def features(self, model: keras.Model, part: str) -> FeatureSet:
        """Returns what a model's frozen part makes of a part, computed once."""
        prefix = split_model(model).whole_prefix()
        examples = self._prepared[part].examples
        key = entry_key(prefix, examples)
        if key not in self.kept:
            store = choose_store(self.cache) or Store(None)
            self.kept[key] = extract(
                prefix, examples, _BATCH, store, self.verbose, strategy_of(model), key
            )
        return self.kept[key]

    def batches(
        self,
        model: keras.Model,
        part: str,
        size: int,
        steps: int,
        seed: int,
        first: int = 0,
    ) -> Any:
        """Returns batches of a part without end, each epoch in an order of its own.

        Args:
            model: Whose frozen part makes the features.
            part: `"source"`, which comes with labels and weights, or `"target"`.
            size: Examples of a batch.
            steps: Batches until a part begins anew, where it has as many.
            seed: Of the orders.
            first: Number of the batch to begin with, of all epochs.
        """
        found = self.features(model, part)
        steps = max(1, min(steps, len(found) // size))
        order = Order(len(found), True, seed), *divmod(first, steps)
        if part == "target":
            return endless_epochs(found, steps, *order).map(lambda x, y: x)
        batches = endless_epochs(weighed(found, self.weights(part)), steps, *order)
        labels = np.asarray(found.labels)
        loss = _keras.compile_arguments(model).get("loss")
        weighings = self.problem.weighings(None, labels, loss)
        return self.problem.unpacked(batches, weighings)

    def answers(self, model: keras.Model, part: str) -> "Answers":
        """Returns what a model's head reads and says of a part."""
        found, tower = self.features(model, part), tower_of(model, self)
        infer = inference_function(tower)
        read: dict[str, list] = {"features": [], "outputs": []}
        import tensorflow as tf

        positions = tf.data.Dataset.range(len(found))
        for x, _ in found.in_order(positions, _BATCH):
            given = infer(x)
            read["features"].append(np.asarray(given["features"], "float32"))
            outputs = self.problem.outputs_by_head(given["outputs"])[self.head]
            read["outputs"].append(np.asarray(outputs, "float32"))
        return Answers(*(np.concatenate(rows) for rows in read.values()))

    def last_layer(self, model: keras.Model) -> LastLayer:
        """Returns the last layer of the head that is adapted."""
        outputs = self.problem.outputs_by_head(model.output)
        return last_layers(model, outputs)[self.head]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of examples.

    Attributes:
        features: float32 `(n, width)`, what the last layer of the head reads.
        outputs: float32 `(n, units)`, what it gives.
    """

    features: np.ndarray
    outputs: np.ndarray


def tower_of(model: keras.Model, streams: Streams) -> keras.Model:
    """Returns the trained part of a model, which also gives what its head reads."""
    suffix = split_model(model).suffix
    outputs = streams.problem.outputs_by_head(suffix.output)
    last = last_layers(suffix, outputs)[streams.head]
    features = last.tensor
    if any(features is given for given in suffix.inputs):
        features = keras.layers.Identity()(features)
    ends = {"features": features, "outputs": suffix.output}
    return keras.Model(suffix.input, ends, name="tower")
