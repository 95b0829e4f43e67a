"""Whether XLA compiles a phase's steps, and whether its batches can have one shape.

XLA compiles a step anew for each shape, for half a minute where networks are deep, so
that batches are filled up to one with examples of weight zero. What looks at a batch as
a whole would see them; where there is such, batches stay as they are.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from tlkeras import _keras
from tlkeras.runtime import current_runtime
from tlkeras.training.feeding import Feed
from tlkeras.training.job import Job
from tlkeras.training.own_loss import own_loss
from tlkeras.training.unchanged import unchanged

# How long XLA takes for a layer: 37 s for the 154 of MobileNetV2, on an H200.
_SECONDS_PER_LAYER = 0.25
# How many times as long as compiling a phase must be before compiling is tried, and
# how many times what it takes it must save.
_LONG, _GAIN = 20, 2
_TIMED_STEPS = 3
# Losses that are of the batch, not of its examples: of Keras, and what a student
# learns from, whose part of the labels is a mean over those that are known.
_OF_BATCHES = ("dice", "tversky", "circle", "distillation")
_KNOWN_PACKAGES = ("keras", "keras_cv", "keras_hub", "keras_nlp", "tlkeras")
_MEANS = ("sum_over_batch_size", "mean")


@dataclass(frozen=True)
class StepTimes:
    """What a phase's steps take, in seconds.

    Attributes:
        plain: A step without XLA.
        compiled: A step with it.
        compiling: The first step with it.
    """

    plain: float
    compiled: float
    compiling: float

    def pays(self, steps: int) -> bool:
        """Whether so many steps save clearly more than compiling takes."""
        return (self.plain - self.compiled) * steps > _GAIN * self.compiling

    def __str__(self) -> str:
        return (
            f"a step takes {1000 * self.compiled:.3g} ms with it and "
            f"{1000 * self.plain:.3g} ms without, compiling {self.compiling:.3g} s"
        )


def with_xla(job: Job, feed: Feed, epochs: int, guess: float) -> tuple[Feed, bool]:
    """Decides whether XLA compiles a phase, as `tl.configure(xla=...)` asks.

    Args:
        job: Model, data and recipe; the model is frozen as the phase wants it.
        feed: Feeds the phase.
        epochs: Of the phase.
        guess: Seconds that all of its steps take without XLA, at most.

    Returns:
        The feed, with batches of one shape where XLA compiles and they can be filled
        up, and whether XLA compiles.
    """
    asked = current_runtime().xla
    if not asked:
        return feed, False
    said = None
    reason = why_not_filled(job, feed)
    if asked == "auto":
        if reason is not None or guess < _LONG * _compiling_guess(feed.plain):
            return feed, False
        pays, said = _measured(job, feed, epochs)
        found = (feed.filled(), True) if pays else (feed, False)
    elif reason is None:
        found = feed.filled(), True
    else:
        said = f"XLA compiles for each size of batch anew: {reason}."
        found = feed, True
    if said is not None and job.fitting.verbose != 0:
        print(said)
    return found


def why_not_filled(job: Job, feed: Feed) -> str | None:
    """Returns what forbids to fill batches up, `None` where nothing does."""
    if feed.refill is None:
        return "the data have batches of their own"
    if own_loss(job.model):
        return "the model's own loss or metrics may look at a batch as a whole"
    for layer in _keras.sublayers(feed.plain):
        name = f"layer {layer.name!r}"
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            return f"{name}, a batch norm that trains, would count what fills them up"
        if getattr(layer, "activity_regularizer", None) is not None:
            return f"{name} has a penalty on its outputs, which would count it, too"
        if not _is_of_package(type(layer)):
            return f"{name} is your own, and may look at a batch as a whole"
    arguments = _keras.compile_arguments(job.model)
    if arguments.get("weighted_metrics"):
        return "they could not be told from other weights in `weighted_metrics`"
    for loss in keras.tree.flatten(arguments.get("loss")):
        reduction = getattr(loss, "reduction", _MEANS[0])
        if loss is not None and not _is_of_examples(loss):
            return f"the loss {_name_of(loss)!r} may look at a batch as a whole"
        if reduction not in _MEANS:
            return f"the loss {_name_of(loss)!r} has the reduction {reduction!r}"
    for metric in keras.tree.flatten(arguments.get("metrics")):
        if metric is not None and not _is_known(metric):
            return f"the metric {_name_of(metric)!r} may look at a batch as a whole"
    return None


def _is_of_examples(loss: Any) -> bool:
    """Whether a loss is known to be a mean over examples."""
    return _is_known(loss) and _name_of(loss).lower() not in _OF_BATCHES


def _is_known(one: Any) -> bool:
    """Whether a loss or metric, and what it is made around, is of Keras or ours.

    Names stand for Keras' own.
    """
    while one is not None and not isinstance(one, str):
        if not _is_of_package(one if hasattr(one, "__qualname__") else type(one)):
            return False
        inner = [getattr(one, name, None) for name in ("loss", "metric", "fn", "_fn")]
        one = next((each for each in inner if callable(each)), None)
    return True


def _is_of_package(kind: Any) -> bool:
    """Whether a class or function is one of those that were looked at."""
    return kind.__module__.split(".")[0] in _KNOWN_PACKAGES


def _name_of(one: Any) -> str:
    return str(getattr(one, "name", None) or getattr(one, "__name__", one))


def _compiling_guess(model: keras.Model) -> float:
    """Returns roughly how many seconds XLA takes to compile a training step."""
    return _SECONDS_PER_LAYER * len(_keras.sublayers(model))


def _measured(job: Job, feed: Feed, epochs: int) -> tuple[bool, str]:
    """Times steps without XLA, and, if the phase is long enough, with it.

    Returns:
        Whether compiling pays, and why.
    """
    import tensorflow as tf

    steps, compiling = epochs * feed.steps, _compiling_guess(feed.plain)
    with unchanged(job.model):
        run = _gradients_of(job, feed)
        _, plain = _seconds(lambda: run(jit_compile=False))
        if plain * steps < _LONG * compiling:
            return False, (
                f"Without XLA: {steps:,} steps take about {plain * steps:.0f} s, which "
                f"is less than {_LONG} times what compiling may take."
            )
        try:
            times = StepTimes(plain, *_seconds(lambda: run(jit_compile=True))[::-1])
        except tf.errors.OpError as error:
            return False, f"Without XLA, which failed to compile: {error}"
    pays = times.pays(steps)
    return pays, f"With{'' if pays else 'out'} XLA, for {steps:,} steps: {times}."


def _gradients_of(job: Job, feed: Feed) -> Callable[..., Callable[[], Any]]:
    """Returns what makes functions that compute the gradients of the first batch."""
    import tensorflow as tf

    model, variables = feed.plain, feed.plain.trainable_weights
    arguments = _keras.compile_arguments(job.model)
    kept = {name: arguments.get(name) for name in ("loss", "loss_weights")}
    model.compile(**kept)
    batch = feed.replicas.one(feed.arguments["x"])
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)

    def make(jit_compile: bool) -> Callable[[], Any]:
        @tf.function(jit_compile=jit_compile)
        def step(x, y, weights):
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True), weights)
            known = [g for g in tape.gradient(loss, variables) if g is not None]
            # A number that is there when all gradients are.
            last = [tf.reduce_sum(tf.cast(part, "float32")) for part in known]
            return tf.add_n(last), known

        return lambda: float(step(x, y, weights)[0])

    return make


def _seconds(make: Callable[[], Callable[[], Any]]) -> tuple[float, float]:
    """Returns the seconds of a function's first call, and of one of the next ones."""
    run, seconds = make(), []
    for _ in range(1 + _TIMED_STEPS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return seconds[0], min(seconds[1:])
