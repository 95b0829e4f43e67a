"""From a recipe to a run: what is checked, which stages there are, where it resumes."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple, fields, replace
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_choice, check_int, check_number
from tlkeras.data import Splits
from tlkeras.depth import gradual_points
from tlkeras.distribution import Workers, losing_a_worker, strategy_of
from tlkeras.features.extraction import reading_for
from tlkeras.freezing import (
    find_backbone,
    freeze,
    freeze_index,
)
from tlkeras.optimizers import check_rate_callbacks, resolve_schedule
from tlkeras.training.agreement import check_agreement
from tlkeras.training.batch_size import largest_batch
from tlkeras.training.checkpoints import Checkpoints, kept_call
from tlkeras.training.checks import (
    check_callbacks,
    check_data,
    check_model,
    pack_labels,
)
from tlkeras.training.feeding import Feeder, Source, with_augment
from tlkeras.training.history import FineTuneHistory
from tlkeras.training.phase import Fitting, Run, Stage, compile_phase, run_stage
from tlkeras.training.plan import Plan, plan_for
from tlkeras.training.recipe import Recipe, completed, is_auto, shared_out
from tlkeras.training.recording import keep_start, record_from
from tlkeras.training.resume import (
    Resumer,
    changing_variables,
    describe,
    describe_data,
)

RECIPE = fields(Recipe)


def planned(
    plan: Any, recipe: Recipe, model: keras.Model, train: Any, val: Any, fitting: Any
) -> Recipe:
    """Returns a plan's recipe, once it is clear that nothing contradicts it."""
    others = [
        field.name
        for field in RECIPE
        if describe(getattr(recipe, field.name)) != describe(field.default)
    ]
    if others:
        raise ValueError(
            f"`plan` settles {', '.join(map(repr, others))} already. Leave "
            f"{'it' if len(others) == 1 else 'them'} out, or change the plan: "
            f"`plan.but({others[0]}=...)`."
        )
    if plan == "auto":
        check_model(model, fitting.backbone)
        train, val = parts_of(train, val)
        plan = plan_for(model, train, val, cache=fitting.cache, verbose=fitting.verbose)
        if fitting.verbose != 0:
            print(plan)
    if isinstance(plan, Recipe):
        return plan
    if not isinstance(plan, Plan):
        raise ValueError(
            "`plan` must be a `Plan` of `tl.plan`, a `Recipe` or 'auto'. Received: "
            f"plan={plan!r}."
        )
    return plan.recipe


def parts_of(train: Any, val: Any) -> tuple[Any, Any]:
    """Returns training and validation data, where `train` may be both."""
    if not isinstance(train, Splits):
        return train, val
    return train.train, train.val if val is None else val


def train_by(
    recipe: Recipe, model: keras.Model, train: Any, val: Any, fitting: Fitting
) -> FineTuneHistory:
    """Checks everything that can be checked beforehand, then runs the phases."""
    train, val = parts_of(train, val)
    check_model(model, fitting.backbone)
    check_choice("verbose", fitting.verbose, ("auto", 0, 1, 2))
    workers = Workers(strategy_of(model))
    if not workers.is_chief:
        fitting = replace(fitting, verbose=0)
    fitting = replace(fitting, callbacks=check_callbacks(fitting.callbacks))
    backbone = find_backbone(model, fitting.backbone)
    if getattr(model, "targets", None) is not None:
        check_several_heads(recipe)
    train, val = pack_labels(model, train, val)
    check_data(model, train, val)
    add_to_record = record_from(model)
    recipe = complete(recipe, model, train, fitting)
    stages = plan_stages(recipe, backbone)
    check_recipe(recipe, fitting, val)
    if recipe.batch_size == "auto":
        recipe = with_batch_size(recipe, model, train, stages, fitting)
    again = "they go on from the last checkpoint"
    if fitting.checkpoint_dir is None:
        again = "with `checkpoint_dir=` they would go on from the last checkpoint"
    with ExitStack() as held:
        held.enter_context(losing_a_worker(workers, again))
        check_agreement(workers, model, recipe, stages, (train, val), fitting)
        run = _run(recipe, model, train, val, stages, fitting)
        if fitting.checkpoint_dir is not None:
            run.resumer = resumer_for(run, stages, held)
            run.history = run.resumer.history()
            keep_start(run)
        if recipe.l2_sp and run.resumer is not None:
            run.pretrained = run.resumer.at_start()
        elif recipe.l2_sp:
            run.pretrained = {id(v): np.array(v) for v in backbone.weights}
        history = run_stages(run, stages)
    add_to_record(run)
    return history


def _run(
    recipe: Recipe,
    model: keras.Model,
    train: Any,
    val: Any,
    stages: list[Stage],
    fitting: Fitting,
) -> Run:
    """Returns a run that has its data, and has not begun."""
    source = Source(
        train,
        val,
        fitting.cache,
        recipe.augment,
        recipe.cached_views,
        recipe.class_weight,
        recipe.sampling,
        recipe.batch_size,
    )
    feeder = Feeder(
        model,
        [stage.freeze_point for stage in stages],
        with_augment(source, model),
        backbone=fitting.backbone,
        train_batch_norm=recipe.train_batch_norm,
        verbose=fitting.verbose,
    )
    return Run(model, recipe, fitting, feeder, FineTuneHistory())


def complete(
    recipe: Recipe, model: keras.Model, train: Any, fitting: Fitting
) -> Recipe:
    """Returns the recipe with values for `"auto"`, all but the batch size."""
    known, steps = reading_for(train), None
    uncached = recipe.augment is not None and recipe.cached_views is None
    if known is not None and fitting.cache is not False and not uncached:
        size = recipe.batch_size
        size = size if isinstance(size, int) else known.batch_size
        steps = math.ceil(len(known.examples) / max(1, size))
    return completed(
        recipe,
        is_text=getattr(model, "preprocessor", None) is not None,
        steps=steps,
        callbacks=fitting.callbacks,
    )


def with_batch_size(
    recipe: Recipe,
    model: keras.Model,
    train: Any,
    stages: Sequence[Stage],
    fitting: Fitting,
) -> Recipe:
    """Returns the recipe with the largest batch that its lowest stage can take."""
    before = kept_call(fitting.checkpoint_dir).get("batch_size")
    if isinstance(before, int):
        # A run that resumes keeps the size that it found at first.
        return replace(recipe, batch_size=before)
    if strategy_of(model) is not None:
        raise ValueError(
            "batch_size='auto' measures one device. On several replicas find the size "
            "on one of them, and pass that number times the replicas."
        )
    backbone = find_backbone(model, fitting.backbone)
    lowest = min(stages, key=lambda s: freeze_index(backbone, s.freeze_point))
    found = largest_batch(
        model,
        train,
        unfreeze_from=lowest.freeze_point,
        optimizer=recipe.optimizer,
        augment=recipe.augment,
        cached_views=recipe.cached_views,
        cache=fitting.cache,
        backbone=fitting.backbone,
        verbose=fitting.verbose,
    )
    return replace(recipe, batch_size=found.size)


def run_stages(run: Run, stages: Sequence[Stage]) -> FineTuneHistory:
    """Runs the stages, from the one on in which an earlier run stopped."""
    resumer = run.resumer
    if resumer is not None and resumer.complete:
        restore_complete(run, stages[-1])
        return run.history
    for number, stage in enumerate(stages):
        if resumer is None or number >= resumer.stage:
            run_stage(run, number, stage)
    if resumer is not None:
        resumer.finish(len(stages), run.history)
    return run.history


def resumer_for(run: Run, stages: Sequence[Stage], held: ExitStack) -> Resumer:
    """Opens the checkpoints of a run, and says what they hold."""
    fitting, recipe, feeder = run.fitting, run.recipe, run.feeder
    changing, rest = changing_variables(
        run.model, feeder.lowest, fitting.backbone, recipe.train_batch_norm
    )
    compiled = _keras.compile_arguments(run.model)
    call = {
        "weights that stay, shapes of the others": rest,
        "loss": describe(compiled.get("loss")),
        "loss weights": describe(compiled.get("loss_weights")),
        "targets": describe(getattr(run.model, "targets", None)),
        "optimizer of the model": describe_optimizer(run.model, recipe),
        "stages": [describe(list(astuple(stage))) for stage in stages],
        **{field.name: describe(getattr(recipe, field.name)) for field in RECIPE},
        "callbacks": [type(callback).__name__ for callback in fitting.callbacks],
        "train": describe_data(feeder.source.train, feeder.whole[0]),
        "val": describe_data(feeder.source.val, feeder.whole[1]),
    }
    checkpoints = Checkpoints(fitting.checkpoint_dir, call)
    workers = feeder.replicas.workers
    if workers.count > 1:
        # The order of the examples depends on it.
        call["workers"] = workers.count
    if workers.is_chief:
        held.enter_context(checkpoints.held())
    resumer = Resumer(run.model, checkpoints, changing, workers)
    if resumer.state is not None and fitting.verbose != 0:
        stage, epoch, step = resumer.state.position
        print(
            f"The run in {str(checkpoints.folder)!r} is complete: this is its result."
            if resumer.complete
            else f"Going on in phase {stages[stage].name}, epoch {epoch + 1}, after "
            f"{step} step(s) of it."
        )
    return resumer


def describe_optimizer(model: keras.Model, recipe: Recipe) -> Any:
    """Returns what a run takes from the model's optimizer: all but its rate."""
    if recipe.optimizer is not None:
        return None
    kind, config = describe(_keras.unused_optimizer(model.optimizer))
    config.pop("learning_rate")
    return [kind, config]


def restore_complete(run: Run, last: Stage) -> None:
    """Leaves the model as a complete run left it, with its optimizer."""
    freeze(
        run.model,
        last.freeze_point,
        train_batch_norm=run.recipe.train_batch_norm,
        backbone=run.fitting.backbone,
    )
    compile_phase(run, last, run.feeder.feed(last.freeze_point, 0))
    run.resumer.restore_final()


def plan_stages(recipe: Recipe, backbone: keras.Model) -> list[Stage]:
    """Turns a recipe into stages, or raises `ValueError`."""
    points = recipe.unfreeze_from
    if isinstance(points, str) and points == "gradual":
        points = gradual_points(backbone)
    points = list(points) if isinstance(points, (list, tuple)) else [points]
    lengths = shared_out(recipe.epochs, len(points))
    check_learning_rate("learning_rate", recipe.learning_rate)
    check_learning_rate("fine_tune_learning_rate", recipe.fine_tune_learning_rate)
    stages = []
    if check_int("head_epochs", recipe.head_epochs, 0):
        stages.append(Stage("head", None, recipe.head_epochs, recipe.learning_rate))
    for number, (point, length) in enumerate(zip(points, lengths, strict=True), 1):
        name = f"fine-tune {number}" if len(points) > 1 else "fine-tune"
        freeze_index(backbone, point)
        if length:
            rate = recipe.fine_tune_learning_rate
            stages.append(Stage(name, point, length, rate))
    if not stages:
        raise ValueError("`head_epochs` and `epochs` are both 0: nothing to train.")
    return stages


def check_recipe(recipe: Recipe, fitting: Fitting, val: Any) -> None:
    """Raises `ValueError` for what would fail only once a phase runs."""
    resolve_schedule(recipe.schedule)
    for rate in (recipe.learning_rate, recipe.fine_tune_learning_rate):
        check_rate_callbacks(fitting.callbacks, recipe.schedule, rate)
    check_number("l2_sp", recipe.l2_sp, minimum=0)
    if recipe.batch_size is not None and not is_auto(recipe.batch_size):
        check_int("batch_size", recipe.batch_size, 1)
    if recipe.patience is not None:
        check_int("patience", recipe.patience, 0)
        if val is None:
            raise ValueError(
                "`patience` watches the validation loss: pass validation data, too. "
                f"Received: patience={recipe.patience}, val=None."
            )


def check_several_heads(recipe: Recipe) -> None:
    """Raises `ValueError` for what each head would need for itself."""
    for name, mend in (
        ("class_weight", "Give it to each `tl.Head`."),
        ("sampling", "Give each `tl.Head` a `class_weight`."),
    ):
        value = getattr(recipe, name)
        if value is not None:
            raise ValueError(
                f"`{name}` does not go with several heads. {mend} Received: "
                f"{name}={value!r}."
            )


def check_learning_rate(argument: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is a positive number or a schedule."""
    if not isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        check_number(argument, value, above=0)
