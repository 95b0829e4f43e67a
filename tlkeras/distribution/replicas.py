"""`Replicas`: how a phase's model and data are spread over a strategy's devices."""

import copy
from typing import Any

import keras

from tlkeras.distribution.batches import (
    Share,
    in_parts,
    share_sizes,
    totals,
    with_totals,
)
from tlkeras.distribution.strategies import is_tpu, strategy_of
from tlkeras.distribution.workers import Workers


class Replicas:
    """The copies of a model that train in step; one, without a strategy.

    Args:
        model: The user's model.
        length: How long sequences are at most, where the model's shapes leave it open.

    Attributes:
        strategy: The `tf.distribute.Strategy` it was built under, or `None`.
        workers: The processes.
        count: Copies in all.
        length: As above.
        fills: Whether batches are filled up to one shape on one device, too.
    """

    def __init__(self, model: keras.Model, length: int | None = None):
        self.strategy = strategy_of(model)
        self.workers = Workers(self.strategy)
        self.count = self.strategy.num_replicas_in_sync if self.strategy else 1
        self.length = length
        self.fills = False
        if self.strategy is not None:
            _check_built_under(self.strategy, model)

    @property
    def is_static(self) -> bool:
        """Whether no shape may change from step to step."""
        return self.fills or is_tpu(self.strategy)

    @property
    def takes_own_steps(self) -> bool:
        """Whether Keras' own steps would not do: of several replicas, or filled up."""
        return self.strategy is not None or self.is_static

    def filling(self) -> "Replicas":
        """Returns the same with batches that are filled up to one shape."""
        other = copy.copy(self)
        other.fills = True
        return other

    def share(self, examples: Any, batch_size: int) -> Any:
        """Returns what this worker reads of known examples.

        Args:
            examples: `Examples` of all workers.
            batch_size: Examples in a global batch.

        Raises:
            ValueError: If a worker would have none for some batch.
        """
        if self.workers.count == 1:
            return examples
        count, steps = len(examples), -(-len(examples) // batch_size)
        if count // self.workers.count < steps:
            raise ValueError(
                f"{count} examples in batches of {batch_size} are too few for "
                f"{self.workers.count} workers: each must have one in every batch. "
                "Pass more examples or a larger batch_size, or take fewer workers."
            )
        return Share(examples, self.workers.index, self.workers.count)

    def model(self, phase_model: keras.Model) -> keras.Model:
        """Returns the model that trains on all replicas, over the same layers."""
        if not self.takes_own_steps:
            return phase_model
        from tlkeras.distribution.replicated import ReplicatedModel

        return ReplicatedModel(phase_model, self)

    def train(
        self,
        batches: Any,
        examples: int,
        steps: int,
        first_step: int = 0,
        ends: bool = False,
    ) -> Any:
        """Spreads this worker's batches of epoch after epoch.

        Args:
            batches: Batches of this worker's share, without end.
            examples: In an epoch, of all workers.
            steps: Batches per epoch.
            first_step: Number of the first batch.
            ends: Whether one epoch is all.
        """
        if not self.takes_own_steps:
            return batches
        sizes = share_sizes(examples, self.workers.count)
        numbered = with_totals(batches, totals(sizes, steps, first_step))
        largest = -(-max(sizes) // steps)
        if ends:
            return self._spread(numbered.take(steps), largest)
        return self._spread(numbered, largest, endless=True)

    def whole(self, batches: Any, largest: int | None = None) -> Any:
        """Spreads a dataset of global batches, of one worker alone.

        Args:
            batches: A dataset.
            largest: Rows that a batch has at most, where that is known.
        """
        if not self.takes_own_steps or batches is None:
            return batches
        return self._spread(with_totals(batches), largest)

    def most_steps(self, examples: int) -> int:
        """Returns in how many batches each replica has an example, of known data."""
        local = self.count // self.workers.count
        return max(1, min(share_sizes(examples, self.workers.count)) // local)

    def one(self, data: Any) -> tuple:
        """Returns the first batch of spread data, or its part for this worker."""
        batch = next(iter(data))
        if not self.takes_own_steps:
            return batch
        if self.strategy is None:
            return batch[0]
        return self.strategy.experimental_local_results(batch)[0][0]

    def _spread(self, batches: Any, largest: int | None, endless: bool = False) -> Any:
        import tensorflow as tf

        local = self.count // self.workers.count
        size = -(-largest // local) if self.is_static and largest else None
        parts = in_parts(batches, local, size, self.length)
        if self.strategy is None:
            return parts.prefetch(tf.data.AUTOTUNE)
        # The thread that tunes an iterator while it runs may miss the word that it
        # ends, and the end then waits until that thread looks again, up to 60 seconds
        # later (TensorFlow 2.21; the iterators of each device, whose options are not
        # ours, still do).
        options = tf.data.Options()
        options.autotune.enabled = False
        parts = parts.with_options(options)
        if endless:
            # Otherwise the workers would ask each other before each step.
            endless_size = tf.data.INFINITE_CARDINALITY
            parts = parts.apply(tf.data.experimental.assert_cardinality(endless_size))
        return self.strategy.distribute_datasets_from_function(lambda context: parts)


def _check_built_under(strategy: Any, model: keras.Model) -> None:
    """Raises `ValueError` for weights that lie on one device alone."""
    created = strategy.extended.variable_created_in_scope
    outside = [v.path for v in model.variables if not created(v.value)]
    if outside:
        raise ValueError(
            f"{len(outside)} of the model's variables were not made under its strategy "
            f"({type(strategy).__name__}), the first is {outside[0]!r}. Build or load "
            "a backbone of your own with `with tl.current_runtime().scope():`, after "
            "`tl.configure`."
        )
