"""From a job to a run: its stages, one after the other, and where it resumes."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from tlkeras import _keras
from tlkeras._memory import naming_the_batch
from tlkeras._validation import check_int
from tlkeras.depth import gradual_points
from tlkeras.distribution import Workers, losing_a_worker, strategy_of
from tlkeras.freezing import check_adapters_train, freeze_index
from tlkeras.inputs.given import end_is_told
from tlkeras.problem import adopt_reading
from tlkeras.training.baseline import worse_than_mean
from tlkeras.training.batch_size import SMALLER, batch_size_of, largest_batch
from tlkeras.training.checkpoints import Checkpoints, kept_call
from tlkeras.training.compatibility import naming_bad_labels
from tlkeras.training.feeding import Feeder
from tlkeras.training.history import FineTuneHistory
from tlkeras.training.job import Job
from tlkeras.training.keeping import fold
from tlkeras.training.phase import (
    HEAD,
    START,
    Run,
    Stage,
    changeable,
    compile_phase,
    freeze_for,
    run_stage,
)
from tlkeras.training.recipe import settings_of, shared_out
from tlkeras.training.resume import (
    Resumer,
    changing_variables,
    describe,
    describe_data,
)
from tlkeras.training.run_records import keep_start, record_from
from tlkeras.training.starting import label_moments
from tlkeras.training.statistics import keep_statistics
from tlkeras.training.worker_agreement import check_agreement


def train_by(job: Job) -> FineTuneHistory:
    """Runs the phases of a job."""
    add_to_record = record_from(job.model)
    stages = plan_stages(job)
    if job.recipe.batch_size == "auto":
        job = with_batch_size(job, stages)
    workers = Workers(strategy_of(job.model))
    again = "they go on from the last checkpoint"
    if job.fitting.checkpoint_dir is None:
        again = "with `checkpoint_dir=` they would go on from the last checkpoint"
    with ExitStack() as held:
        held.enter_context(naming_bad_labels())
        held.enter_context(losing_a_worker(workers, again))
        held.enter_context(end_is_told())
        held.enter_context(naming_the_batch(batch_size_of(job), SMALLER))
        check_agreement(workers, job, stages)
        run = Run(job, Feeder(job, [stage.frozen for stage in stages]))
        if job.fitting.checkpoint_dir is not None:
            run.resumer = resumer_for(run, stages, held)
            run.history = run.resumer.history()
            keep_start(run)
        if job.val is not None and job.recipe.keep == "best":
            freeze_for(run, min(stages, key=lambda stage: stage.frozen))
            run.changing = changeable(job.model)
        if job.recipe.l2_sp and run.resumer is not None:
            run.pretrained = run.resumer.at_start()
        elif job.recipe.l2_sp:
            run.pretrained = {id(v): np.array(v) for v in job.backbone.weights}
        run.moments = label_moments(job, run.feeder.whole[0])
        history = run_stages(run, stages)
    adopt_reading(job.model, job.problem)
    add_to_record(run)
    # What a later phase changed below them, features of an earlier cut do not show.
    is_lowest = stages[-1].frozen == run.feeder.lowest
    keep_statistics(job, run.feed if is_lowest else None, run.feeder.row_weights())
    return history


def plan_stages(job: Job) -> list[Stage]:
    """Turns a recipe into stages, or raises `ValueError`."""
    recipe, backbone = job.recipe, job.backbone
    points = recipe.unfreeze_from
    if isinstance(points, str) and points == "gradual":
        points = gradual_points(backbone)
    points = list(points) if isinstance(points, (list, tuple)) else [points]
    lengths = shared_out(recipe.epochs, len(points))
    stages = []
    if check_int("head_epochs", recipe.head_epochs, 0):
        frozen, rate = len(backbone.layers), recipe.learning_rate
        stages.append(Stage(HEAD, None, frozen, recipe.head_epochs, rate))
    for number, (point, length) in enumerate(zip(points, lengths, strict=True), 1):
        # Records and checkpoints hold plain numbers.
        point = point.item() if isinstance(point, np.generic) else point
        name = f"fine-tune {number}" if len(points) > 1 else "fine-tune"
        frozen = freeze_index(backbone, point)
        if length:
            check_adapters_train(backbone, frozen)
            rate = recipe.fine_tune_learning_rate
            stages.append(Stage(name, point, frozen, length, rate))
    if not stages:
        raise ValueError("`head_epochs` and `epochs` are both 0: nothing to train.")
    return stages


def with_batch_size(job: Job, stages: Sequence[Stage]) -> Job:
    """Returns the job with the largest batch that its lowest stage can take."""
    size = kept_call(job.fitting.checkpoint_dir).get("batch_size")
    # A run that resumes keeps the size that it found at first.
    if not isinstance(size, int):
        if strategy_of(job.model) is not None:
            raise ValueError(
                "batch_size='auto' measures one device. On several replicas find the "
                "size on one of them, and pass that number times the replicas."
            )
        size = largest_batch(job, min(stage.frozen for stage in stages)).size
    return replace(job, recipe=replace(job.recipe, batch_size=size))


def run_stages(run: Run, stages: Sequence[Stage]) -> FineTuneHistory:
    """Runs the stages, from the one on in which an earlier run stopped."""
    resumer = run.resumer
    if resumer is not None and resumer.complete:
        restore_complete(run, stages[-1])
        return run.history
    run.feeder.fill_lowest()
    for number, stage in enumerate(stages):
        if resumer is None or number >= resumer.stage:
            run_stage(run, number, stage)
    finish_best(run)
    compare_with_mean(run)
    if resumer is not None:
        resumer.finish(len(stages), run.history)
    return run.history


def finish_best(run: Run) -> None:
    """Calibrates the weights that the model has, and says which they are."""
    if run.history.best is None:
        return
    said = which_weights(run.history)
    divided = fold(run.job, run.history.best.get("temperature", {}))
    if divided:
        by = ", ".join(f"{t:.3g}" for t in divided.values())
        said += f" Logits are divided by {by}, which the validation data say is right."
    if said:
        run.history.notes.append(said.strip())
    if said and run.job.fitting.verbose != 0:
        print(said.strip())


def which_weights(history: FineTuneHistory) -> str:
    """Returns a sentence on which weights were kept, where that needs one."""
    best, last = history.best, history.phases[-1]
    phase = f"phase {last.name}"
    if best["phase"] != last.name:
        kept = f"the weights of phase {best['phase']}"
        if best["phase"] == START:
            kept = "the weights that it came with"
        return (
            f"Phase {last.name} did not clearly do better on the validation data: the "
            f"model has {kept}."
        )
    losses = history.history["val_loss"][last.first_epoch :]
    number, least = best["epoch"] - last.first_epoch + 1, int(np.argmin(losses)) + 1
    if number < last.epochs:
        return f"The model has the weights of epoch {number} of {phase}."
    if least < last.epochs:
        return (
            f"The model has the last weights of {phase}: once calibrated, they do "
            f"better on the validation data than those of epoch {least}."
        )
    return ""


def compare_with_mean(run: Run) -> None:
    """Says where numbers were learnt no better than their mean."""
    job, readings = run.job, run.feeder.whole
    reading = readings[0] if job.val is None else readings[1]
    for said in worse_than_mean(job, run.moments, run.history, reading):
        run.history.notes.append(said)
        if job.fitting.verbose != 0:
            print(said)


def resumer_for(run: Run, stages: Sequence[Stage], held: ExitStack) -> Resumer:
    """Opens the checkpoints of a run, and says what they hold."""
    job, feeder = run.job, run.feeder
    changing, rest = changing_variables(
        job.model, feeder.lowest, job.backbone, job.recipe.train_batch_norm
    )
    compiled = _keras.compile_arguments(job.model)
    call = {
        "weights that stay, shapes of the others": rest,
        "loss": describe(compiled.get("loss")),
        "loss weights": describe(compiled.get("loss_weights")),
        "problem": describe(job.problem),
        "optimizer of the model": describe_optimizer(job),
        "stages": [describe(list(astuple(stage))) for stage in stages],
        **{name: describe(value) for name, value in settings_of(job.recipe).items()},
        "callbacks": [type(callback).__name__ for callback in job.fitting.callbacks],
        "train": describe_data(job.train, feeder.whole[0]),
        "val": describe_data(job.val, feeder.whole[1]),
    }
    checkpoints = Checkpoints(job.fitting.checkpoint_dir, call)
    workers = feeder.replicas.workers
    if workers.count > 1:
        # The order of the examples depends on it.
        call["workers"] = workers.count
    if workers.is_chief:
        held.enter_context(checkpoints.held())
    resumer = Resumer(job.model, checkpoints, changing, workers)
    if resumer.state is not None and job.fitting.verbose != 0:
        stage, epoch, step = resumer.state.position
        print(
            f"The run in {str(checkpoints.folder)!r} is complete: this is its result."
            if resumer.complete
            else f"Going on in phase {stages[stage].name}, epoch {epoch + 1}, after "
            f"{step} step(s) of it."
        )
    return resumer


def describe_optimizer(job: Job) -> Any:
    """Returns what a run takes from the model's optimizer: all but its rate."""
    if job.recipe.optimizer is not None:
        return None
    kind, config = describe(_keras.unused_optimizer(job.model.optimizer))
    config.pop("learning_rate")
    return [kind, config]


def restore_complete(run: Run, last: Stage) -> None:
    """Leaves the model as a complete run left it, with its optimizer."""
    freeze_for(run, last)
    compile_phase(run, last, run.feeder.outline(last.frozen))
    run.resumer.restore_final()
