"""Trained adaptation: a task on the source and what brings both domains together."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from tlkeras.adapting.losses import Adversary, CoralLoss, MCCLoss, MMDLoss, ramp
from tlkeras.adapting.streams import Streams, tower_of
from tlkeras.distribution import scope_of
from tlkeras.freezing import recompile
from tlkeras.training import PhaseError, resume
from tlkeras.training.checkpoints import Checkpoints, State
from tlkeras.training.verification import Verification


@dataclass(frozen=True)
class Trained:
    """A method that trains.

    Attributes:
        between: Makes the loss between the domains: a `keras.losses.Loss` of features,
            one of probabilities, or an `Adversary`.
        weight: What that loss is multiplied by beside the task's; of an `Adversary`
            its reversed gradient.
        of_classes: Whether it needs exclusive classes.
        reads: Whether a loss is of `"features"` or of `"probabilities"`.
    """

    between: Callable[[int], Any]
    weight: float
    of_classes: bool = False
    reads: str = "features"


TRAINED = {
    "deep_coral": Trained(lambda seed: CoralLoss(), 100.0),
    "mmd": Trained(lambda seed: MMDLoss(), 3.0),
    "dann": Trained(lambda seed: Adversary(seed=seed), 0.03),
    "cdan": Trained(
        lambda seed: Adversary(conditional=True, seed=seed), 0.03, of_classes=True
    ),
    "mcc": Trained(lambda seed: MCCLoss(), 1.0, of_classes=True, reads="probabilities"),
}


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a method trains.

    Attributes:
        epochs: Passes over the larger domain.
        steps: Batches of an epoch.
        batch_size: Examples of each domain in a step.
        learning_rate: The first, which falls to 0 along a cosine.
        seed: Of orders and of a discriminator's start.
    """

    epochs: int
    steps: int
    batch_size: int
    learning_rate: float
    seed: int

    @property
    def total(self) -> int:
        """Steps of all epochs."""
        return self.epochs * self.steps


class Joint(keras.Model):
    """Takes a batch of each domain; its loss is the task's and that between them.

    What helps in training, such as a discriminator, is a part of this model alone.

    Args:
        tower: The trained part, as `tower_of` returns it.
        whole: The model that it is a part of, compiled.
        method: The method.
        schedule: Its schedule.
        streams: The streams.
    """

    def __init__(
        self,
        tower: keras.Model,
        whole: keras.Model,
        method: Trained,
        schedule: Schedule,
        streams: Streams,
    ):
        super().__init__(name="joint")
        self.tower, self.method, self.total = tower, method, schedule.total
        # A model as an attribute would become a layer of this one.
        self._whole, self._streams = lambda: whole, lambda: streams
        self.between = method.between(schedule.seed)
        if isinstance(self.between, Adversary):
            given = [self._read(tower.output)[name] for name in _READS]
            self.between.build(*(None if x is None else x.shape for x in given))
        self.gap = keras.metrics.Mean(name="gap")
        self.built = True

    def call(self, inputs, training=False):
        return tuple(self.tower(x, training=training) for x in inputs)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Returns the loss of the task on the source, and that between the domains."""
        source, target = y_pred
        task = self._whole().compute_loss(None, y, source["outputs"], sample_weight)
        progress = ops.cast(self.optimizer.iterations, "float32") / self.total
        source, target = self._read(source), self._read(target)
        if isinstance(self.between, Adversary):
            pairs = [tuple(one[name] for name in _READS) for one in (source, target)]
            # The discriminator learns at the full rate, the features from it at less.
            apart = self.between.loss(*pairs, self.method.weight * ramp(progress))
            weight = 1.0
        else:
            name = self.method.reads
            apart = self.between(source[name], target[name])
            weight = self.method.weight * ramp(progress)
        self.gap.update_state(apart)
        return task + weight * apart

    def _read(self, ends: Any) -> dict[str, Any]:
        streams = self._streams()
        output = streams.problem.outputs[streams.head]
        probabilities = None
        if output.is_exclusive:
            outputs = streams.problem.outputs_by_head(ends["outputs"])
            probabilities = output.class_probabilities(outputs[streams.head])
        features = ops.cast(ends["features"], "float32")
        return {"features": features, "probabilities": probabilities}


_READS = ("features", "probabilities")


def train(
    model: keras.Model,
    method: Trained,
    streams: Streams,
    schedule: Schedule,
    verbose: Any,
    checkpoints: Checkpoints | None = None,
) -> list[float]:
    """Trains a model, frozen and compiled, by a method; returns its losses by epoch.

    Args:
        model: The model.
        method: The method.
        streams: The streams.
        schedule: Its schedule.
        verbose: As in `keras.Model.fit`.
        checkpoints: Where the state of each epoch is kept, and what an interrupted
            run goes on from.

    Raises:
        PhaseError: If the loss is not finite, a frozen weight changed, or no other did.
    """
    with scope_of(model):
        recompile(model)
        joint = Joint(tower_of(model, streams), model, method, schedule, streams)
        rate = keras.optimizers.schedules.CosineDecay(
            schedule.learning_rate, schedule.total
        )
        joint.compile(keras.optimizers.Adam(rate), jit_compile=False)
        joint.optimizer.build(joint.trainable_variables)
    verification = Verification(model)
    keeper = _Keeper(joint, checkpoints)
    begun = keeper.restore()
    if begun == schedule.epochs:
        return keeper.losses
    sides = [
        streams.batches(
            model,
            part,
            schedule.batch_size,
            schedule.steps,
            schedule.seed + number,
            begun * schedule.steps,
        )
        for number, part in enumerate(("source", "target"))
    ]
    history = joint.fit(
        _together(*sides),
        initial_epoch=begun,
        epochs=schedule.epochs,
        steps_per_epoch=schedule.steps,
        shuffle=False,
        callbacks=[keras.callbacks.TerminateOnNaN(), keeper],
        verbose=verbose,
    )
    if not all(map(math.isfinite, keeper.losses)):
        raise PhaseError(
            "The loss is not finite. Pass a smaller `learning_rate`. Received: "
            f"learning_rate={schedule.learning_rate:g}."
        )
    verification.verify(joint.tower, history)
    keeper.finish()
    return keeper.losses


class _Keeper(keras.callbacks.Callback):
    """Keeps the losses of all epochs, and in checkpoints what training goes on from.

    Args:
        joint: What is trained, its optimizer built.
        checkpoints: Where states are kept, `None` for nowhere.
    """

    def __init__(self, joint: Joint, checkpoints: Checkpoints | None):
        super().__init__()
        self.checkpoints, self.losses = checkpoints, []
        self._variables = [*joint.variables, *joint.optimizer.variables]
        self._last = time.perf_counter()

    def restore(self) -> int:
        """Puts back the state of an interrupted run; returns how many epochs it had."""
        state = self.checkpoints and self.checkpoints.latest()
        if not state:
            return 0
        self.losses = list(state.facts["losses"])
        for variable, value in zip(
            self._variables, state.arrays["variables"], strict=True
        ):
            variable.assign(value)
        return len(self.losses)

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(float(logs["loss"]))
        passed = time.perf_counter() - self._last
        due = self.checkpoints and passed >= resume.SECONDS_BETWEEN
        if due and math.isfinite(self.losses[-1]):
            self.checkpoints.keep(self._state())
            self._last = time.perf_counter()

    def finish(self) -> None:
        """Keeps the final state, once it is verified."""
        if self.checkpoints:
            self.checkpoints.finish(self._state())

    def _state(self) -> State:
        values = [keras.ops.convert_to_numpy(v) for v in self._variables]
        return State(
            (0, len(self.losses), 0),
            self.checkpoints.call,
            {"losses": self.losses},
            {"variables": values},
        )


def _together(source: Any, target: Any) -> Any:
    """Returns steps of both streams: `((source, target), labels)`, or with weights."""
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert
    def step(labelled, x):
        return (labelled[0], x), *labelled[1:]

    return tf.data.Dataset.zip(source, target).map(step)
