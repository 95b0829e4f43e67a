"""One phase: freeze, split, compile, fit, verify."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.freezing import FreezePoint, freeze, recompile
from tlkeras.runtime import current_runtime, jit_compile
from tlkeras.training.feeding import Feeder
from tlkeras.training.history import FineTuneHistory, Phase
from tlkeras.training.promises import Promises
from tlkeras.training.whole_model import WholeModel, watches_batches


@dataclass(frozen=True)
class Stage:
    """What one phase is asked to do."""

    name: str
    freeze_point: FreezePoint
    epochs: int
    learning_rate: Any


@dataclass(frozen=True)
class Fitting:
    """What all phases share."""

    callbacks: Sequence[keras.callbacks.Callback]
    class_weight: dict[int, float] | None
    train_batch_norm: bool
    backbone: keras.Model | str | None
    verbose: Any


def run_stage(
    model: keras.Model,
    stage: Stage,
    feeder: Feeder,
    fitting: Fitting,
    history: FineTuneHistory,
) -> None:
    """Freezes, splits, compiles, fits and verifies one phase; adds it to `history`."""
    started, done = time.perf_counter(), len(history.epoch)
    freeze(
        model,
        stage.freeze_point,
        train_batch_norm=fitting.train_batch_norm,
        backbone=fitting.backbone,
    )
    announce(model, stage, fitting.verbose)
    feed = feeder.feed(stage.freeze_point, done)
    together = feed.steps_per_execution
    if any(map(watches_batches, fitting.callbacks)):
        together = together and 1
    compile_phase(model, feed.model, stage.learning_rate, together)
    rate = float(np.asarray(model.optimizer.learning_rate))
    promises = Promises(model)
    fitted = feed.model.fit(
        **feed.arguments,
        initial_epoch=done,
        epochs=done + stage.epochs,
        callbacks=[WholeModel(model, fitting.callbacks)],
        class_weight=fitting.class_weight,
        verbose=fitting.verbose,
    )
    promises.verify(feed.suffix, fitted)
    phase = Phase(
        name=stage.name,
        freeze_point=stage.freeze_point,
        learning_rate=rate,
        first_epoch=done,
        epochs=len(fitted.epoch),
        trainable=sum(math.prod(v.shape) for v in model.trainable_variables),
        seconds=time.perf_counter() - started,
        extraction_seconds=feed.extraction_seconds,
    )
    history.append(fitted, phase)


def compile_phase(
    model: keras.Model,
    phase_model: keras.Model,
    learning_rate: Any,
    steps_per_execution: int | None,
) -> None:
    """Compiles model and phase model with one fresh optimizer, and as `model` was.

    They share the optimizer, so that callbacks that read or set the learning rate
    through the model do what they say, and `model.save` keeps the optimizer's state.
    """
    with current_runtime().scope():
        recompile(model, learning_rate)
        arguments = {**_keras.compile_arguments(model), "jit_compile": jit_compile()}
        if steps_per_execution is not None:
            arguments["steps_per_execution"] = steps_per_execution
        phase_model.compile(**arguments)


def announce(model: keras.Model, stage: Stage, verbose: Any) -> None:
    """Prints what the phase is about to train, above Keras' progress bar."""
    if verbose == 0:
        return
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    where = (
        "backbone frozen"
        if stage.freeze_point is None
        else f"backbone trained from {stage.freeze_point!r}"
    )
    print(
        f"Phase {stage.name}: {where}, {trainable:,} of {model.count_params():,} "
        f"parameters train, {stage.epochs} epoch(s)."
    )
