"""The fit verbs: phase one alone, and both phases."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_choice, check_int, check_number
from tlkeras.data import Splits
from tlkeras.depth import gradual_points
from tlkeras.freezing import (
    FreezePoint,
    find_backbone,
    freeze,
    freeze_index,
    fresh_optimizer,
)
from tlkeras.optimizers import check_rate_callbacks, resolve_schedule
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
from tlkeras.training.recipe import Recipe
from tlkeras.training.resume import (
    Resumer,
    changing_variables,
    describe,
    describe_data,
)

RECIPE = fields(Recipe)


def fit_head(
    model: keras.Model,
    train: Any,
    val: Any = None,
    *,
    epochs: int = 10,
    learning_rate: Any = 1e-3,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    schedule: Any = "constant",
    patience: int | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    sampling: str | None = None,
    batch_size: int | str | None = None,
    augment: Any = None,
    cached_views: int | None = None,
    cache: str | Path | bool = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    backbone: keras.Model | str | None = None,
    checkpoint_dir: str | Path | None = None,
    log_dir: str | Path | None = None,
    verbose: Any = "auto",
) -> FineTuneHistory:
    """Trains the head on a frozen backbone: transfer learning, phase one.

    Args:
        model: Compiled functional `keras.Model` with a nested backbone, from
            `tl.image_classifier` or your own. Its loss and metrics are kept.
        train: Batched `tf.data.Dataset` of `(inputs, labels)`, such as `data.train`;
            a tuple of arrays; or `Splits`, whose `val` then serves as well.
        val: The same for validation after each epoch, or `None`.
        epochs: Passes over `train`.
        learning_rate: The peak of `schedule`, a float; or a
            `keras.optimizers.schedules.LearningRateSchedule` of your own.
        optimizer: `"adam"`, `"adamw"`, `"sgd"` (with momentum), another name that
            Keras knows, or a Keras optimizer, whose settings are kept: `clipnorm`,
            `gradient_accumulation_steps`, `use_ema`, `weight_decay` and so on. Weight
            decay spares biases and norms. `None`: the kind that `model` has.
        schedule: `"constant"`, `"cosine"` (after a warm-up), `"one_cycle"`, or one of
            `tl.Constant`, `tl.Cosine`, `tl.OneCycle` with settings of your own.
        patience: Epochs without a better validation loss after which the phase ends;
            it ends with its best weights, early or not. `None`: all epochs, and the
            last weights.
        class_weight: From class number to weight, or `"balanced"`: all classes (of
            several labels, all labels' presence and absence; of numbers, all ranges)
            count the same in total.
        sampling: `"balanced"` draws them equally often instead.
        batch_size: Examples per step; `"auto"`: as many as fit; `None`: as the data.
        augment: Random changes to training pictures: `"light"`, `"medium"` or
            `"strong"`; `"mixup"` or `"cutmix"`; an augmentation layer of Keras or
            KerasCV; a function of pictures, or of pictures and labels; or a list of
            these. The presets flip pictures: not for digits or print. Every epoch sees
            others, and nothing is cached, unless `cached_views` is given.
        cached_views: How many augmented views of each example to compute and keep;
            the epochs take turns with them.
        cache: Where to keep what the frozen part computes, once for all epochs.
            `"auto"` or `"disk"`: in the cache folder (`tl.cache_info()`), for later
            runs too; `"memory"`; a folder; `False`: compute it anew in each epoch.
            What does not fit the budget, or comes from a dataset that is not of
            `Splits`, is computed anew, and the output says so.
        callbacks: Keras callbacks. They see `model`, not a part of it.
        backbone: The nested backbone or its name, where there are several.
        checkpoint_dir: A folder of this run's own. Where the process dies, the same
            call goes on from the last checkpoint (at most 30 seconds of work, or 20
            times what writing one takes, are done again) to the same result; where the
            run is complete, it gives its result at once.
        log_dir: A folder for `epochs.csv` and for TensorBoard's events.
        verbose: As in `keras.Model.fit`.

    Returns:
        A `FineTuneHistory` of one phase.

    Raises:
        ValueError: If the model is not compiled or has no backbone, the data do not
            fit it, or an argument is not one of the above.
        PhaseError: If the loss is not finite or explodes (the best weights so far are
            restored), a frozen weight changed, or no other did.
        CheckpointError: If a checkpoint cannot be written, or is damaged.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    >>> y = np.arange(8) % 2
    >>> model = tl.image_classifier("glyphnet", 2)
    >>> len(tl.fit_head(model, (x, y), epochs=2, verbose=0).epoch)
    2

    Reference:
        The Keras guide to transfer learning and fine-tuning,
        https://keras.io/guides/transfer_learning/.
    """
    recipe = Recipe(
        head_epochs=check_int("epochs", epochs, 1),
        epochs=0,
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule=schedule,
        patience=patience,
        class_weight=class_weight,
        sampling=sampling,
        batch_size=batch_size,
        augment=augment,
        cached_views=cached_views,
    )
    fitting = Fitting(callbacks, backbone, cache, checkpoint_dir, log_dir, verbose)
    return train_by(recipe, model, train, val, fitting)


def fine_tune(
    model: keras.Model,
    train: Any,
    val: Any = None,
    *,
    head_epochs: int = 10,
    epochs: int | Sequence[int] = 10,
    unfreeze_from: FreezePoint | Sequence[FreezePoint] = 0.3,
    learning_rate: Any = 1e-3,
    fine_tune_learning_rate: Any = 1e-5,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    schedule: Any = "constant",
    layer_decay: float | Mapping[str, float] | None = None,
    l2_sp: float = 0.0,
    patience: int | None = None,
    train_batch_norm: bool = False,
    class_weight: Mapping[Any, float] | str | None = None,
    sampling: str | None = None,
    batch_size: int | str | None = None,
    augment: Any = None,
    cached_views: int | None = None,
    plan: Any = None,
    cache: str | Path | bool = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    backbone: keras.Model | str | None = None,
    checkpoint_dir: str | Path | None = None,
    log_dir: str | Path | None = None,
    verbose: Any = "auto",
) -> FineTuneHistory:
    """Trains the head on a frozen backbone, then the backbone's top with it.

    Each phase starts with a fresh optimizer, after a compilation that follows the last
    change of a `trainable` flag. The frozen part runs in inference mode, batch norms
    and dropout included. After each phase the promises are checked: frozen weights are
    bit for bit what they were, trained ones moved.

    Args:
        model: As in `fit_head`.
        train: As in `fit_head`.
        val: As in `fit_head`.
        head_epochs: Epochs of phase one; 0 skips it.
        epochs: Epochs of phase two, or of each of its stages.
        unfreeze_from: A freeze point as in `tl.freeze`: `"block5"`, `15`, or `0.3` for
            the top 30 % of the layers with weights. A list unfreezes gradually, one
            stage each; `"gradual"` chooses three stages by the backbone's blocks. With
            `patience`, a stage whose validation loss stalls gives way to the next.
        learning_rate: Phase one's, as in `fit_head`.
        fine_tune_learning_rate: Phase two's.
        optimizer: As in `fit_head`.
        schedule: As in `fit_head`; it runs anew in each phase.
        layer_decay: Factor on the learning rate from each block of the backbone to the
            one below, such as 0.8; or a map from names of layers, as freeze points are
            named, to factors.
        l2_sp: Decay of trained backbone weights towards their pretrained values, per
            unit of learning rate, as AdamW's `weight_decay` is towards zero.
        patience: As in `fit_head`, for each phase.
        train_batch_norm: As in `tl.freeze`.
        class_weight: As in `fit_head`.
        sampling: As in `fit_head`.
        batch_size: As in `fit_head`.
        augment: As in `fit_head`.
        cached_views: As in `fit_head`.
        plan: A `Plan` of `tl.plan`, `"auto"` to make one, or a `Recipe`; it takes the
            place of all arguments above.
        cache: As in `fit_head`.
        callbacks: As in `fit_head`.
        backbone: As in `fit_head`.
        checkpoint_dir: As in `fit_head`.
        log_dir: As in `fit_head`.
        verbose: As in `keras.Model.fit`.

    Returns:
        A `FineTuneHistory` of all phases, joined.

    Raises:
        ValueError: If an argument is out of range, the model is not compiled or has no
            backbone, a freeze point does not exist, or the data do not fit.
        PhaseError: As in `fit_head`.
        CheckpointError: As in `fit_head`.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    >>> y = np.arange(8) % 2
    >>> model = tl.image_classifier("glyphnet", 2)
    >>> history = tl.fine_tune(model, (x, y), head_epochs=1, epochs=1,
    ...                        unfreeze_from="block3", verbose=0)
    >>> [phase.name for phase in history.phases]
    ['head', 'fine-tune']

    Reference:
        The Keras guide to transfer learning and fine-tuning,
        https://keras.io/guides/transfer_learning/; gradual unfreezing and rates by
        depth: Howard and Ruder, Universal Language Model Fine-tuning for Text
        Classification (2018); L2-SP: Li et al., Explicit Inductive Bias for Transfer
        Learning with Convolutional Networks (2018).
    """
    given = locals()
    recipe = Recipe(**{field.name: given[field.name] for field in RECIPE})
    fitting = Fitting(callbacks, backbone, cache, checkpoint_dir, log_dir, verbose)
    if plan is not None:
        recipe = planned(plan, recipe, model, train, val, fitting)
    return train_by(recipe, model, train, val, fitting)


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
    fitting = replace(fitting, callbacks=check_callbacks(fitting.callbacks))
    backbone = find_backbone(model, fitting.backbone)
    stages = plan_stages(recipe, backbone)
    check_recipe(recipe, fitting, val)
    if getattr(model, "targets", None) is not None:
        check_several_heads(recipe)
    train, val = pack_labels(model, train, val)
    check_data(model, train, val)
    if recipe.batch_size == "auto":
        recipe = with_batch_size(recipe, model, train, stages, fitting)
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
    run = Run(model, recipe, fitting, feeder, FineTuneHistory())
    with ExitStack() as held:
        if fitting.checkpoint_dir is not None:
            run.resumer = resumer_for(run, stages, held)
            run.history = run.resumer.history()
        if recipe.l2_sp and run.resumer is not None:
            run.pretrained = run.resumer.at_start()
        elif recipe.l2_sp:
            run.pretrained = {id(v): np.array(v) for v in backbone.weights}
        return run_stages(run, stages)


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
        "optimizer of the model": describe(fresh_optimizer(run.model)),
        "stages": [describe(list(astuple(stage))) for stage in stages],
        **{field.name: describe(getattr(recipe, field.name)) for field in RECIPE},
        "callbacks": [type(callback).__name__ for callback in fitting.callbacks],
        "train": describe_data(feeder.source.train, feeder.readings[0]),
        "val": describe_data(feeder.source.val, feeder.readings[1]),
    }
    checkpoints = Checkpoints(fitting.checkpoint_dir, call)
    held.enter_context(checkpoints.held())
    resumer = Resumer(run.model, checkpoints, changing)
    if resumer.state is not None and fitting.verbose != 0:
        stage, epoch, step = resumer.state.position
        print(
            f"The run in {str(checkpoints.folder)!r} is complete: this is its result."
            if resumer.complete
            else f"Going on in phase {stages[stage].name}, epoch {epoch + 1}, after "
            f"{step} step(s) of it."
        )
    return resumer


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
    lengths = recipe.epochs
    given = isinstance(lengths, (list, tuple))
    lengths = list(lengths) if given else [lengths] * len(points)
    if not points or len(lengths) != len(points):
        raise ValueError(
            "`unfreeze_from` and `epochs` must name as many stages. Received: "
            f"unfreeze_from={recipe.unfreeze_from!r} ({len(points)} stage(s)), "
            f"epochs={recipe.epochs!r}."
        )
    check_learning_rate("learning_rate", recipe.learning_rate)
    check_learning_rate("fine_tune_learning_rate", recipe.fine_tune_learning_rate)
    stages = []
    if check_int("head_epochs", recipe.head_epochs, 0):
        stages.append(Stage("head", None, recipe.head_epochs, recipe.learning_rate))
    for number, (point, length) in enumerate(zip(points, lengths, strict=True), 1):
        name = f"fine-tune {number}" if len(points) > 1 else "fine-tune"
        freeze_index(backbone, point)
        if check_int("epochs", length, 0):
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
