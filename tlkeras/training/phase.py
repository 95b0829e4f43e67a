"""One phase: freeze, split, compile, fit, verify."""

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.distribution import scope_of
from tlkeras.freezing import FreezePoint, freeze, recompile
from tlkeras.linear import Solution
from tlkeras.optimizers import phase_optimizer, resolve_schedule
from tlkeras.outputs.moments import Moments
from tlkeras.runtime import current_runtime
from tlkeras.training.feeding import Feed, Feeder
from tlkeras.training.history import FineTuneHistory, Phase
from tlkeras.training.job import Job
from tlkeras.training.keeping import (
    Candidate,
    assign,
    best_of_phase,
    score_of,
    values_of,
)
from tlkeras.training.logs import PhaseLog
from tlkeras.training.monitoring import EpochLogs, LossMonitor, overfitting
from tlkeras.training.progress import PhaseBar
from tlkeras.training.recipe import Recipe
from tlkeras.training.resume import Keeper, Resumer
from tlkeras.training.solving import NotSolved, solve_heads, unchosen
from tlkeras.training.starting import label_units, start_outputs
from tlkeras.training.verification import Verification, frozen_weights
from tlkeras.training.whole_model import WholeModel, watches_batches
from tlkeras.training.xla import with_xla

# Callbacks that only write: of several workers the chief's do.
WRITERS = (
    keras.callbacks.BackupAndRestore,
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
    PhaseLog,
)

# The name of phase one.
HEAD = "head"
# What `FineTuneHistory.best` calls weights from before all phases.
START = "start"
_METRICS = ("metrics", "weighted_metrics")
# How long a step of training takes, in forward passes; seconds worth telling of.
_PASSES, _LONG = 3, 20.0


@dataclass(frozen=True)
class Stage:
    """What one phase is asked to do.

    Attributes:
        name: As in `Phase`.
        unfreeze_from: The freeze point, in the user's words.
        frozen: How many of the backbone's layers it freezes.
        epochs: Epochs at most.
        learning_rate: The peak.
    """

    name: str
    unfreeze_from: FreezePoint
    frozen: int
    epochs: int
    learning_rate: Any


@dataclass
class Run:
    """One call of a fit verb, as its phases see it.

    Attributes:
        job: Model, data, recipe, and everything else that was asked for.
        feeder: Feeds the phases.
        history: Of the phases that are complete.
        resumer: Keeps the state, where that was asked for.
        pretrained: From the `id` of each backbone variable that the run may change to
            its value when the run began, where weights decay towards these.
        changing: The weights that the run may change, where the best are kept.
        moments: Mean and deviation of labels that are numbers, by head.
        feed: What the last phase was fed; `None` before the first.
    """

    job: Job
    feeder: Feeder
    history: FineTuneHistory = field(default_factory=FineTuneHistory)
    resumer: Resumer | None = None
    pretrained: dict[int, np.ndarray] = field(default_factory=dict)
    changing: list[keras.Variable] | None = None
    moments: dict[str, Moments] = field(default_factory=dict)
    feed: Feed | None = None


def run_stage(run: Run, number: int, stage: Stage) -> None:
    """Freezes, splits, compiles, fits and verifies a phase; adds it to the history."""
    model, fitting, done = run.job.model, run.job.fitting, len(run.history.epoch)
    started = time.perf_counter()
    if run.resumer is not None:
        run.resumer.enter_stage(number, run.history)
    freeze_for(run, stage)
    announce(run, stage)
    feed = run.feed = run.feeder.feed(stage.frozen, done)
    # What a phase that fails restores is what was there before it.
    logs, monitor = EpochLogs(), LossMonitor(stage.name, changeable(model))
    verification = Verification(model)
    solved = solve_head(run, stage, feed)
    first = number == 0 and solved is None
    if first and start_outputs(run.job, feed.suffix, run.moments, stage.name == HEAD):
        verification = Verification(model)
    monitor.measure_start()
    if solved is not None:
        # An epoch at a rate of 0 measures what was found with all that an epoch has:
        # metrics, validation, callbacks, replicas.
        stage = replace(stage, epochs=1, learning_rate=0.0)
    xla = False
    if solved is None:
        guess = foretell(run, stage, feed)
        feed, xla = with_xla(run.job, feed, stage.epochs, guess)
    together = compile_phase(run, stage, feed, xla)
    workers = run.feeder.replicas.workers
    if together and together > 1:
        monitor.first_loss = max(workers.gather(loss_now(feed)))
    callbacks = [*stage_callbacks(run), logs, monitor]
    if run.changing is not None:
        before = weights_before(run, stage, feed)
    keeper = None
    # Logs are no part of the state: a run may go on with or without them.
    others = list(callbacks)
    if fitting.log_dir is not None:
        callbacks.append(PhaseLog(fitting.log_dir, stage.name, run.history, logs))
    if run.resumer is not None:
        steps = feed.steps if feed.seekable else None
        keeper = Keeper(run.resumer, number, feed.model, others, run.history, steps)
        callbacks.append(keeper)
    if not workers.is_chief:
        callbacks = [one for one in callbacks if not isinstance(one, WRITERS)]
    fit_phase(run, feed, callbacks, keeper, done + stage.epochs)
    verification.verify(feed.suffix, logs, may_stay=solved is not None)
    phase = Phase(
        name=stage.name,
        unfreeze_from=stage.unfreeze_from,
        learning_rate=peak_rate(stage.learning_rate),
        first_epoch=done,
        epochs=len(logs.epoch),
        trainable=count_trainable(model),
        seconds=time.perf_counter() - started + (keeper.spent if keeper else 0.0),
        extraction_seconds=feed.extraction_seconds,
        solved=solved and {name: one.facts for name, one in solved.items()},
    )
    run.history.append(logs, phase)
    if run.changing is not None:
        keep_best(run, feed, monitor, before, epoch_of_end(callbacks, phase))
    if solved is None:
        notes = [overfitting(stage.name, logs.history)]
    else:
        notes = [unchosen(name, one) for name, one in solved.items()]
    for note in filter(None, notes):
        run.history.notes.append(note)
        if fitting.verbose != 0:
            print(note)


def solve_head(run: Run, stage: Stage, feed: Feed) -> dict[str, Solution] | None:
    """Solves phase one where it is to be and can be; returns what was found.

    Raises:
        ValueError: If `head="solve"` asks for what cannot be.
    """
    job = run.job
    if stage.name != HEAD:
        return None
    reason = None
    if job.recipe.head != "gradient":
        try:
            return solve_heads(job, run.feeder, feed)
        except NotSolved as error:
            reason = str(error)
    if reason is not None and job.recipe.head == "solve":
        raise ValueError(
            f"head='solve' cannot be done: {reason}. Pass head='auto' or "
            "head='gradient', which trains the head by gradient."
        )
    if reason is not None and job.fitting.verbose != 0:
        print(f"By gradient, {stage.epochs} epoch(s): {reason}.")
    return None


def epoch_of_end(callbacks: list[keras.callbacks.Callback], phase: Phase) -> int:
    """Returns the epoch, of the joined history, that a phase's last weights are of."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.EarlyStopping):
            if callback.restore_best_weights and callback.best_weights is not None:
                return int(callback.best_epoch)
    return phase.first_epoch + phase.epochs - 1


def keep_best(
    run: Run, feed: Feed, monitor: LossMonitor, before: Candidate | None, end: int
) -> None:
    """Gives the model the best weights so far, and the history where they are from."""
    phase = run.history.phases[-1]
    best = best_of_phase(
        run.changing,
        monitor,
        phase,
        end,
        run.history.history["val_loss"][end],
        # A solved head is calibrated already, by more than the validation part.
        lambda: None if phase.solved else score_of(run.job, feed, scaled=True),
    )
    if before is not None and not best.beats(before):
        best = before
    assign(run.changing, best.values)
    run.history.best = best.facts


def weights_before(run: Run, stage: Stage, feed: Feed) -> Candidate | None:
    """Returns the best weights of earlier phases, which are the model's now.

    Where phase one is left out they are those that the model came with. Their score is
    made anew, as a run that resumes here makes it: to the bit the same decides there.
    """
    best = run.history.best
    if best is None and stage.name == HEAD:
        return None
    if best is None:
        score = score_of(run.job, feed, scaled=False)
        return Candidate(values_of(run.changing), START, -1, math.inf, score)
    solved = any(p.solved and p.name == best["phase"] for p in run.history.phases)
    score = score_of(run.job, feed, scaled=not solved)
    where = best["phase"], best["epoch"], best["val_loss"]
    return Candidate(values_of(run.changing), *where, score)


def freeze_for(run: Run, stage: Stage) -> None:
    """Freezes the model as a stage wants it."""
    freeze(
        run.job.model,
        stage.frozen,
        train_batch_norm=run.job.recipe.train_batch_norm,
        backbone=run.job.backbone,
    )


def fit_phase(
    run: Run, feed: Feed, callbacks: list, keeper: Keeper | None, end: int
) -> None:
    """Fits the phase model, from where an interrupted run stopped if it did."""
    epoch, step = (feed.first_epoch, 0) if keeper is None else keeper.position
    model = run.job.model
    bridge = WholeModel(model, callbacks, end)
    verbose = run.job.fitting.verbose

    def fit(arguments: dict[str, Any], first: int, last: int) -> None:
        bar = [PhaseBar(first, last)] if verbose in ("auto", 1) else []
        feed.model.fit(
            **arguments,
            callbacks=[bridge, *bar],
            verbose=verbose,
            initial_epoch=first,
            epochs=last,
        )

    if step:
        # The rest of an epoch; what ends a phase does not belong to it. Its metrics go
        # on from values that they can only take once they are built.
        loss_now(feed)
        bridge.first_step, bridge.goes_on, keeper.goes_on = step, True, True
        arguments = feed.epochs_from(epoch, step)
        fit(arguments, epoch, epoch + 1)
        keeper.undo_finalizing()
        bridge.first_step, bridge.goes_on, keeper.goes_on = 0, False, False
        epoch += 1
        if model.stop_training or epoch == end:
            feed.model.optimizer.finalize_variable_values(feed.model.trainable_weights)
            bridge.on_train_end()
            return
    arguments = feed.epochs_from(epoch, 0)
    fit(arguments, epoch, end)


def compile_phase(run: Run, stage: Stage, feed: Feed, xla: bool = False) -> int | None:
    """Compiles model and phase model with one fresh optimizer, and as `model` was.

    They share the optimizer, so that callbacks that read or set the learning rate
    through the model do what they say, and `model.save` keeps the optimizer's state.

    Returns:
        How many steps Keras takes at once.
    """
    model, recipe = run.job.model, run.job.recipe
    together = feed.steps_per_execution
    if any(map(watches_batches, run.job.fitting.callbacks)):
        together = together and 1
    with scope_of(model):
        optimizer = phase_optimizer(
            model,
            run.job.backbone,
            optimizer=recipe.optimizer,
            learning_rate=phase_rate(recipe, stage, feed),
            layer_decay=recipe.layer_decay,
            l2_sp=recipe.l2_sp,
            units=label_units(run.job, feed.suffix, run.moments),
        )
        recompile(model, optimizer)
        if recipe.l2_sp:
            anchor(optimizer, model, run.pretrained)
        arguments = {**_keras.compile_arguments(model), "jit_compile": xla}
        for metric in keras.tree.flatten([arguments.get(kind) for kind in _METRICS]):
            # Keras resets those that a model was compiled with only once it is built.
            if isinstance(metric, keras.metrics.Metric):
                metric.reset_state()
        if together is not None:
            arguments["steps_per_execution"] = together
        feed.model.compile(**arguments)
        _keras.build_metrics_with(model, feed.model)
    return together


def anchor(optimizer: Any, model: keras.Model, pretrained: dict) -> None:
    """Has a stage decay towards the values before the run, not before the stage."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    # Where only the head trains nothing is anchored.
    anchors = getattr(optimizer, "anchors", [])
    for variable, kept in zip(model.trainable_variables, anchors, strict=False):
        if kept is not None:
            kept.assign(pretrained[id(variable)])


def phase_rate(recipe: Recipe, stage: Stage, feed: Feed) -> Any:
    """Returns the phase's learning rate: a number or a schedule over its steps."""
    schedule = resolve_schedule(recipe.schedule)
    if feed.steps is None and schedule != resolve_schedule("constant"):
        raise ValueError(
            f"schedule={recipe.schedule!r} needs to know how many batches an epoch "
            "has; the training data do not tell. Pass a dataset with a length "
            "(`dataset.apply(tf.data.experimental.assert_cardinality(n))`), or "
            "schedule='constant'."
        )
    return schedule.over(stage.learning_rate, stage.epochs * (feed.steps or 1))


def peak_rate(learning_rate: Any) -> float:
    """Returns a number as it is, and what a schedule of Keras begins with."""
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        learning_rate = learning_rate(0)
    return float(np.asarray(learning_rate))


def stage_callbacks(run: Run) -> list[keras.callbacks.Callback]:
    """Returns the user's callbacks, ready for one more phase, with early stopping."""
    callbacks = list(run.job.fitting.callbacks)
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger) and run.history.epoch:
            # It would begin its file anew in each phase.
            callback.append = True
    patience = run.job.recipe.patience
    if patience is None:
        return callbacks
    stopping = keras.callbacks.EarlyStopping(
        "val_loss", patience=patience, restore_best_weights=True
    )
    return [stopping, *callbacks]


def changeable(model: keras.Model) -> list[keras.Variable]:
    """Returns the weights that a phase may change."""
    frozen = {id(v) for v in frozen_weights(model)}
    return [v for v in model.weights if id(v) not in frozen]


def foretell(run: Run, stage: Stage, feed: Feed) -> float:
    """Prints how long the phase will take, if that is long, and returns it: roughly.

    Forward passes of the first batch tell; the compiled steps of training take about
    as long as three of them.
    """
    wanted = run.job.fitting.verbose != 0 or current_runtime().xla == "auto"
    if not wanted or feed.steps is None or feed.replicas.takes_own_steps:
        return 0.0
    x, *_ = feed.replicas.one(feed.arguments["x"])
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        keras.tree.map_structure(np.asarray, feed.model(x, training=False))
        seconds.append(time.perf_counter() - began)
    steps = stage.epochs * feed.steps
    whole = min(seconds) * _PASSES * steps
    if whole >= _LONG and run.job.fitting.verbose != 0:
        print(
            f"{stage.epochs} epoch(s) of {feed.steps} steps: very roughly "
            f"{f'{whole:.0f} s' if whole < 90 else f'{whole / 60:.0f} min'}."
        )
    return whole


def loss_now(feed: Feed) -> float:
    """Returns the loss on the first batch, before the phase changes anything.

    The phase model's metrics are built then, too.
    """
    batch = feed.replicas.one(feed.arguments["x"])
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    outputs = feed.model(x, training=False)
    known = {"x": x, "y": y, "y_pred": outputs, "sample_weight": weights}
    loss = feed.model.compute_loss(**known)
    if feed.replicas.takes_own_steps:
        feed.model.build_metrics(batch)
    else:
        feed.model.compute_metrics(**known)
    return float(np.asarray(loss))


def count_trainable(model: keras.Model) -> int:
    """Returns the number of parameters that train."""
    return sum(math.prod(v.shape) for v in model.trainable_variables)


def announce(run: Run, stage: Stage) -> None:
    """Prints what the phase is about to train, above Keras' progress bar."""
    model = run.job.model
    if run.job.fitting.verbose == 0:
        return
    solved = stage.name == HEAD and run.job.recipe.head != "gradient"
    how = "" if solved else f", {stage.epochs} epoch(s)"
    where = (
        "backbone frozen"
        if stage.unfreeze_from is None
        else f"backbone trained from {stage.unfreeze_from!r}"
    )
    print(
        f"Phase {stage.name}: {where}, {count_trainable(model):,} of "
        f"{model.count_params():,} parameters train{how}."
    )
