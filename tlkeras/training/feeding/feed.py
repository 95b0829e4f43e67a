"""`Feed`: what one phase fits, and in how many steps an epoch is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras

from tlkeras.distribution import Replicas
from tlkeras.inputs.feature_set import FeatureSet

# Steps that one call of Keras' training function may take, where they are cheap.
_MOST_STEPS_PER_EXECUTION = 256


@dataclass(frozen=True)
class Feed:
    """The model that a phase fits, and what it is fitted on.

    Attributes:
        model: The suffix, where features are cached; otherwise all parts, joined.
        replicas: How model and data are spread.
        suffix: The part that trains.
        epochs_from: From an epoch and a step in it to the data arguments of
            `keras.Model.fit` that begin there.
        steps: Steps of an epoch, `None` where that is not known.
        seekable: Whether data can be read from any step on.
        first_epoch: How many epochs ran before, in all phases.
        extraction_seconds: How long the extraction for this phase took.
        steps_per_execution: As in `keras.Model.compile`; `None` for the model's own.
        features: Of the training examples, where they are cached.
        plain: `model` as it is for one device.
        val: Batches of validation examples, each once, of several workers this one's;
            `None` where there are none.
        refill: Makes the same feed with batches that are filled up to one shape; `None`
            where the data have batches of their own.
    """

    model: keras.Model
    replicas: Replicas
    suffix: keras.Model
    epochs_from: Callable[[int, int], dict[str, Any]]
    steps: int | None
    seekable: bool
    first_epoch: int
    extraction_seconds: float
    steps_per_execution: int | None
    features: FeatureSet | None = None
    plain: keras.Model | None = None
    val: Any = None
    refill: "Callable[[], Feed] | None" = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The data arguments of `keras.Model.fit` for the phase from its start."""
        return self.epochs_from(self.first_epoch, 0)

    def filled(self) -> "Feed":
        """Returns the same with batches of one shape, filled up with weight zero."""
        return replace(self.refill(), extraction_seconds=self.extraction_seconds)


def plan_steps(
    count: int, batch_size: int, head: keras.Model | None, most: int | None = None
) -> tuple[int, int]:
    """Returns the steps of an epoch, and how many of them Keras may take at once.

    Keras' Python takes about a millisecond for each step, which is many times what a
    small head needs; it takes several at a time where told to. Their number divides
    the steps of an epoch, which grow by less than 1 % for it.

    Args:
        count: Examples of an epoch.
        batch_size: Examples per batch at most.
        head: The suffix where it is but a head, `None` where each step is costly.
        most: Steps that there can be, `None` for one for each example.
    """
    most = count if most is None else most
    steps = min(math.ceil(count / batch_size), most)
    if head is None:
        return steps, 1
    # A wide head on a flattened feature map is as costly as a small backbone.
    together = max(1, _MOST_STEPS_PER_EXECUTION // (1 + head.count_params() // 100_000))
    executions = math.ceil(steps / together)
    together = math.ceil(steps / executions)
    fits = executions * together <= most
    return (executions * together, together) if fits else (steps, 1)
