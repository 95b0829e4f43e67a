"""Trials: a phase set up as `fine_tune` would, on a model that stays as it was."""

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.distribution import scope_of
from tlkeras.freezing import FreezePoint, freeze
from tlkeras.optimizers import phase_optimizer
from tlkeras.runtime import jit_compile
from tlkeras.training.checks import check_data, check_model, pack_labels
from tlkeras.training.feeding import Feed, Feeder, Source, with_augment


@dataclass(frozen=True)
class Trial:
    """A phase that is ready to be tried.

    Attributes:
        feed: What it fits and on what; `feed.model` is compiled with an optimizer of
            its own, takes one step at a time, and has no metrics but the loss.
        feeder: Where the feed came from.
    """

    feed: Feed
    feeder: Feeder


@contextlib.contextmanager
def trial(
    model: keras.Model,
    point: FreezePoint,
    source: Source,
    *,
    optimizer: Any = None,
    learning_rate: float = 1e-7,
    backbone: keras.Model | str | None = None,
    verbose: Any = 0,
) -> Iterator[Trial]:
    """Sets up a phase; whatever is done in it, the model is afterwards as before.

    Args:
        model: What the fit verbs take.
        point: The phase's freeze point.
        source: Its data.
        optimizer: A Keras optimizer or its name; `None` for one like the model's.
        learning_rate: What the phase starts with.
        backbone: As in `tl.fit_head`.
        verbose: 0 for no message of the feeder.

    Yields:
        The `Trial`.

    Raises:
        ValueError: If model and data cannot be trained so; see `tl.fine_tune`.
    """
    check_model(model, backbone)
    with unchanged(model):
        set_freeze_point(model, point, backbone)
        train, val = pack_labels(model, source.train, source.val)
        source = replace(source, train=train, val=val)
        check_data(model, train, val)
        feeder = Feeder(
            model,
            [point],
            with_augment(source, model),
            backbone=backbone,
            train_batch_norm=False,
            verbose=verbose,
        )
        feed = feeder.feed(point, 0)
        with scope_of(model):
            fresh = phase_optimizer(
                model,
                feeder.backbone,
                optimizer=optimizer,
                learning_rate=learning_rate,
            )
        _compile(feed.model, model, fresh)
        yield Trial(feed, feeder)


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """Puts back weights, seeds, metrics and `trainable` flags of `model`, always.

    So also after an error or an interrupt. How the model is compiled is for those to
    leave alone who use this. The states of Python's and NumPy's random numbers, which
    Keras draws seeds from, are put back, too.

    Args:
        model: A built model.
    """
    layers = [(layer, layer.trainable) for layer in _keras.sublayers(model)]
    variables = [*model.variables, *model.metrics_variables]
    flags = [(variable, variable.trainable) for variable in variables]
    values = [(variable, np.array(variable)) for variable in variables]
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        _put_back_flags(layers)
        for variable, flag in flags:
            variable.trainable = flag
        for variable, value in values:
            variable.assign(value)
        random.setstate(python)
        np.random.set_state(numpy)


def set_freeze_point(
    model: keras.Model,
    point: FreezePoint,
    backbone: keras.Model | str | None = None,
) -> None:
    """Sets the flags as `freeze` does, and leaves `model` compiled as it is.

    Args:
        model: As in `tl.freeze`.
        point: `before` of `tl.freeze`.
        backbone: As in `tl.freeze`.
    """
    # `freeze` compiles a compiled model again. This one, over the same layers, is not.
    flags_only = keras.Model(model.inputs, model.outputs, name="flags_only")
    freeze(flags_only, point, backbone=backbone)


def _put_back_flags(layers: list[tuple[keras.layers.Layer, bool]]) -> None:
    """Sets each layer's own flag, which Keras hands down to the layers inside it."""
    for _ in layers:
        wrong = [(layer, flag) for layer, flag in layers if layer.trainable != flag]
        if not wrong:
            return
        for layer, flag in wrong:
            layer.trainable = flag


def _compile(
    phase_model: keras.Model,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
) -> None:
    """Compiles the phase's model with the loss of `model`, and no metric of it.

    Metrics are objects with a state; the model's are none of a trial's business.
    """
    arguments = _keras.compile_arguments(model)
    kept = ("loss", "loss_weights", "run_eagerly")
    with scope_of(model):
        phase_model.compile(
            optimizer=optimizer,
            jit_compile=jit_compile(),
            steps_per_execution=1,
            **{name: arguments[name] for name in kept},
        )
