"""The door of every verb that trains: what it was given, resolved and checked once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from tlkeras._validation import check_choice, check_int, check_number
from tlkeras.augmentation import Augment, resolve_augment
from tlkeras.builders.sharing import warn_of_shared
from tlkeras.data import Splits
from tlkeras.distribution import Workers, strategy_of
from tlkeras.features.extraction import reading_for
from tlkeras.freezing import find_backbone
from tlkeras.inputs.examples import reading_of
from tlkeras.inputs.given import bounded, is_one_array, with_one_input
from tlkeras.optimizers import (
    check_rate_callbacks,
    phase_optimizer,
    resolve_schedule,
)
from tlkeras.outputs import labels_given
from tlkeras.problem import (
    Problem,
    adopt_names,
    check_names,
    own_problem,
    pack_data,
    problem_of,
    problem_to_learn,
)
from tlkeras.training.compatibility import (
    check_arrays,
    check_callbacks,
    check_data,
    check_model,
    look_into,
    with_labels_checked,
)
from tlkeras.training.monitored import check_monitors
from tlkeras.training.plan_facts import measure_facts, numbered_blocks
from tlkeras.training.planning import make_plan
from tlkeras.training.recipe import (
    Recipe,
    completed,
    is_auto,
    of_head,
    settings_of,
    with_arguments,
)


@dataclass(frozen=True)
class Fitting:
    """What a verb is asked for besides: nothing of it changes what is learnt."""

    cache: str | Path | bool = "auto"
    callbacks: Sequence[keras.callbacks.Callback] = ()
    checkpoint_dir: str | Path | None = None
    log_dir: str | Path | None = None
    verbose: Any = "auto"


@dataclass(frozen=True)
class Job:
    """What a verb is to do, after its door.

    Attributes:
        model: The model.
        backbone: Its nested backbone.
        problem: What it is to learn.
        train: Training data: a dataset, of which `reading_of` tells what is behind it
            where that is known, also of arrays; or a tuple of arrays that only Keras
            can read. Labels of several heads are packed.
        val: Validation data, the same, or `None`.
        recipe: Without `"auto"`, but for the batch size; the backbone by its name.
        fitting: What else was asked for.
        augment: What the recipe's `augment` stands for, or `None`.
    """

    model: keras.Model
    backbone: keras.Model
    problem: Problem
    train: Any
    val: Any
    recipe: Recipe
    fitting: Fitting
    augment: Augment | None = None


def open_job(
    model: keras.Model,
    train: Any,
    validation_data: Any = None,
    recipe: Recipe | str | None = None,
    fitting: Fitting | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    head_only: bool = False,
) -> Job:
    """Resolves what a verb was given, and checks all that can be checked beforehand.

    Args:
        model: As in `tl.fine_tune`.
        train: As in `tl.fine_tune`.
        validation_data: As in `tl.fine_tune`.
        recipe: As in `tl.fine_tune`.
        fitting: The verb's other arguments.
        arguments: Those that a recipe holds, too, by the recipe's names.
        head_only: Whether phase one is all.

    Raises:
        ValueError: If something cannot be what the verb takes; see `tl.fine_tune`.
    """
    recipe = with_arguments(recipe, arguments or {})
    named = None if is_auto(recipe) else recipe.backbone
    check_model(model, named)
    backbone = find_backbone(model, named)
    fitting = _checked(fitting or Fitting(), model)
    problem, train, val = resolve_data(model, train, validation_data)
    check_monitors(model, fitting.callbacks, val is not None)
    if is_auto(recipe):
        recipe = _planned(model, problem, train, val, fitting)
    recipe = Recipe(**settings_of(recipe))
    if head_only:
        recipe = of_head(recipe)
    if recipe.backbone is not None:
        recipe = replace(recipe, backbone=backbone.name)
    job = Job(model, backbone, problem, train, val, recipe, fitting)
    job = replace(job, recipe=_completed(job))
    _check_recipe(job)
    warn_of_shared(model, _trained(job))
    return replace(job, augment=_augment(job))


def _trained(job: Job) -> set[int]:
    """Returns the `id`s of weights that may train: of the backbone in phase two."""
    trained = {id(v) for v in job.model.weights}
    if any(keras.tree.flatten(job.recipe.epochs)):
        return trained
    return trained - {id(v) for v in job.backbone.weights}


def parts_of(train: Any, val: Any) -> tuple[Any, Any]:
    """Returns training and validation data, where `Splits` may be both."""
    if not isinstance(train, Splits):
        return train, val
    return train.train, train.val if val is None else val


def resolve_data(model: keras.Model, train: Any, val: Any) -> tuple[Problem, Any, Any]:
    """Returns what a model is to learn, training and validation data, as `Job` does.

    Args:
        model: The model that they are to fit.
        train: As in `tl.fine_tune`.
        val: Validation data, or `None`.

    Raises:
        ValueError: If they are of another form, or do not fit the model.
    """
    train, val = parts_of(train, val)
    adopt_names(model, train)
    own = own_problem(model)
    if own is not None:
        train, val = own.input.given(train), own.input.given(val)
        check_names(own, train, "train")
        check_names(own, val, "validation_data")
    train = with_one_input(model, train, "train")
    val = with_one_input(model, val, "validation_data")
    problem = problem_of(model)
    train = _packed(problem, train, "train")
    val = None if val is None else _packed(problem, val, "validation_data")
    if problem is None:
        labels = look_into(train, "train")[1]
        problem = problem_to_learn(model, labels if is_one_array(labels) else None)
    problem = check_data(problem, model, train, "train")
    train = with_labels_checked(problem, model, train, "train")
    if val is not None:
        check_data(problem, model, val, "validation_data")
        val = with_labels_checked(problem, model, val, "validation_data")
    return problem, train, val


def _packed(problem: Problem | None, data: Any, name: str) -> Any:
    """Returns data with labels as data of their own hold them, arrays as a dataset."""
    if isinstance(data, tuple) and len(data) == 3 and data[2] is None:
        data = data[:2]
    if isinstance(data, tuple) and len(data) > 1:
        data = (data[0], labels_given(data[1], name), *data[2:])
    if problem is not None:
        data = pack_data(problem, data, name)
    if isinstance(data, tuple) and len(data) in (2, 3):
        check_arrays(data, name)
    return bounded(as_dataset(data), name)


def as_dataset(data: Any) -> Any:
    """Returns arrays as a dataset that knows what is behind it; all else as it is."""
    reading = reading_for(data) if isinstance(data, tuple) else None
    return data if reading is None else reading.dataset()


def _checked(fitting: Fitting, model: keras.Model) -> Fitting:
    """Returns the same with a list of callbacks; all workers but one are silent."""
    check_choice("verbose", fitting.verbose, ("auto", 0, 1, 2))
    if not Workers(strategy_of(model)).is_chief:
        fitting = replace(fitting, verbose=0)
    return replace(fitting, callbacks=check_callbacks(fitting.callbacks))


def _planned(
    model: keras.Model, problem: Problem, train: Any, val: Any, fitting: Fitting
) -> Recipe:
    asked = {"cache": fitting.cache, "verbose": fitting.verbose}
    plan = make_plan(measure_facts(model, problem, train, val, **asked), built=True)
    if fitting.verbose != 0:
        print(plan)
    return plan


def _completed(job: Job) -> Recipe:
    """Returns the recipe with values for `"auto"`, all but the batch size."""
    recipe, known, steps = job.recipe, reading_of(job.train), None
    uncached = recipe.augment is not None and recipe.cached_views is None
    if known is not None and job.fitting.cache is not False and not uncached:
        size = recipe.batch_size
        size = size if isinstance(size, int) else known.batch_size
        steps = math.ceil(len(known.examples) / max(1, size))
    return completed(
        recipe,
        usual=job.problem.input.usual(
            None if known is None else len(known.examples),
            numbered_blocks(job.backbone),
        ),
        steps=steps,
        callbacks=job.fitting.callbacks,
    )


def _check_recipe(job: Job) -> None:
    """Raises `ValueError` for what would fail only once a phase runs."""
    recipe = job.recipe
    if job.problem.named:
        _check_several_heads(recipe)
    resolve_schedule(recipe.schedule)
    for name in ("learning_rate", "fine_tune_learning_rate"):
        rate = getattr(recipe, name)
        if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            check_number(name, rate, above=0)
        check_rate_callbacks(job.fitting.callbacks, recipe.schedule, rate)
    check_choice("train_batch_norm", recipe.train_batch_norm, (False, True))
    check_choice("head", recipe.head, ("auto", "solve", "gradient"))
    check_choice("keep", recipe.keep, ("best", "last"))
    # Made to see that it can be, before a phase changes anything.
    phase_optimizer(
        job.model,
        job.backbone,
        optimizer=recipe.optimizer,
        layer_decay=recipe.layer_decay,
        l2_sp=recipe.l2_sp,
    )
    if recipe.batch_size is not None and not is_auto(recipe.batch_size):
        check_int("batch_size", recipe.batch_size, 1)
    if recipe.patience is not None:
        check_int("patience", recipe.patience, 0)
        if job.val is None:
            raise ValueError(
                "`patience` watches the validation loss: pass validation data, too. "
                f"Received: patience={recipe.patience}, validation_data=None."
            )


def _check_several_heads(recipe: Recipe) -> None:
    """Raises `ValueError` for what each head would need for itself."""
    for name, mend in (
        ("class_weight", "Give it to each head's output."),
        ("sampling", "Give each head's output a `class_weight`."),
    ):
        value = getattr(recipe, name)
        if value is not None:
            raise ValueError(
                f"`{name}` does not go with heads that have names. {mend} Received: "
                f"{name}={value!r}."
            )


def _augment(job: Job) -> Augment | None:
    """Returns what augments the pictures; checks that model and data can do with it."""
    model, recipe, problem = job.model, job.recipe, job.problem
    known = reading_of(job.train)
    augment = resolve_augment(
        recipe.augment,
        output=problem.mixed_output(),
        seed=known.seed if known else 0,
        domain=problem.input.augmentations,
    )
    if augment is not None:
        problem.input.check_augment(recipe.augment)
    views, cache = recipe.cached_views, job.fitting.cache
    if views is not None and (augment is None or cache is False):
        raise ValueError(
            "`cached_views` keeps augmented views in a cache: it needs `augment=` and "
            f"a cache. Received: cached_views={views!r}, augment={recipe.augment!r}, "
            f"cache={cache!r}."
        )
    if views is not None:
        check_int("cached_views", views, 1)
    loss = getattr(model.loss, "name", model.loss)
    if augment and augment.mixes_labels and str(loss).startswith("sparse_categorical"):
        raise ValueError(
            f"{augment} mixes labels, which {loss!r} does not take. Compile the model "
            "with 'categorical_crossentropy'; models of tlkeras take both."
        )
    return augment
