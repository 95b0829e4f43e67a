"""`Recipe`: how to fine-tune, as data, and what `"auto"` stands for in it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import keras

from tlkeras._validation import check_int, unknown_name
from tlkeras.freezing import FreezePoint

# What "auto" stands for, beside what a kind of input says (`Input.usual`).
_HEAD_LEARNING_RATE = 1e-3
# A head needs some steps whatever the number of examples: 50 pictures of digits, 2
# steps an epoch, are at 0.34 after 10 epochs and at 0.93 after 300 steps. On cached
# features they cost next to nothing.
_HEAD_EPOCHS, _HEAD_STEPS, _MOST_HEAD_EPOCHS = 10, 300, 150
# What phase one does not read.
_OF_PHASE_TWO = (
    "epochs",
    "unfreeze_from",
    "fine_tune_learning_rate",
    "layer_decay",
    "l2_sp",
    "train_batch_norm",
)


@dataclass(frozen=True)
class Recipe:
    """How the fit verbs train: every setting that changes the result.

    The first five are arguments of `tl.fine_tune`, too; say each in one place. The
    others are said here alone.

    Attributes:
        head_epochs: Epochs of phase one, by gradient; 0 skips it. `"auto"`: none where
            the head is solved (`head`), otherwise 10; where features are cached and
            these were less than 300 steps, as many as make 300, but at most 150.
        epochs: Epochs of phase two, or of each of its stages. `"auto"`: 10 for
            pictures, 3 for texts.
        unfreeze_from: Where the backbone's trained part begins: a layer's name or the
            start of it (`"block5"`), a number of layers (`15`), or `0.3` for the top
            30 % of the layers with weights; `None` trains none of it. A list unfreezes
            gradually, one stage each; `"gradual"` chooses three stages by the
            backbone's blocks. With `patience`, a stage whose validation loss stalls
            gives way to the next. `"auto"`: for pictures 0.3, from 500 training
            examples on 0.6; for texts the upper half of the transformer layers.
        learning_rate: Phase one's: the peak of `schedule`, a float; or a
            `keras.optimizers.schedules.LearningRateSchedule`. `"auto"`: 1e-3, where
            the head is not solved.
        fine_tune_learning_rate: Phase two's. `"auto"`: for pictures 1e-5, from 500
            training examples on 3e-4; for texts 1e-4.
        optimizer: `"adam"`, `"adamw"`, `"sgd"` (with momentum), another name that
            Keras knows, or a Keras optimizer, whose settings are kept: `clipnorm`,
            `gradient_accumulation_steps`, `use_ema`, `weight_decay` and so on. Weight
            decay spares biases and norms. `None`: the kind that the model has.
        schedule: `"constant"`, `"cosine"` (after a warm-up), `"one_cycle"`, or one of
            `tl.Constant`, `tl.Cosine`, `tl.OneCycle` with settings of your own; it
            runs anew in each phase. `"auto"`: cosine; constant for pictures, where
            there are fewer than 500 to train on.
        layer_decay: Factor on the learning rate from each block of the backbone to the
            one below, such as 0.8; or a map from names of layers, as freeze points are
            named, to factors.
        l2_sp: Decay of trained backbone weights towards their pretrained values, per
            unit of learning rate, as AdamW's `weight_decay` is towards zero.
        patience: Epochs without a better validation loss after which a phase ends; it
            ends with its best weights, early or not. `None`: all epochs; `keep` says
            which weights stay.
        train_batch_norm: Whether batch norms above the freeze point train, on the
            statistics of batches. `False`: they keep those of the pretraining.
        class_weight: From class number to weight, or `"balanced"`: all classes (of
            several labels, all labels' presence and absence; of numbers, all ranges)
            count the same in total.
        sampling: `"balanced"` draws them equally often instead.
        batch_size: Examples per step; `"auto"`: as many as fit; `None`: as the data.
        augment: Random changes to training pictures: `"light"`, `"medium"` or
            `"strong"`; `"mixup"` or `"cutmix"`; an augmentation layer of Keras or
            KerasCV; a function of pictures, or of pictures and labels; or a list of
            these. The presets flip pictures: not for digits or print. Boxes move with
            their pictures, by the presets (which then neither rotate, shear nor erase)
            and by Keras' layers. Sounds are shifted and played faster or slower, with
            noise or, `"strong"`, masks of time and pitch. Every epoch sees others, and
            nothing is cached, unless `cached_views` is given.
        cached_views: How many augmented views of each example to compute and keep;
            the epochs take turns with them.
        backbone: The nested backbone or its name, where a model nests several.
        head: How phase one finds the head. `"solve"`: as the minimum of the loss with
            an L2 penalty, by L-BFGS, where the features are cached, each head is one
            Dense layer on them (dropout is left out) and the loss is cross-entropy or
            the squared error. The penalty is that of the layer (`weight_decay`), else
            the one that cross-validation on the training part prefers. It takes seconds
            and is one epoch in the history. `"gradient"`: by `head_epochs` of training,
            from a kernel of zeros if nothing has trained it. `"auto"`: solved where
            that can be, unless `head_epochs`, `learning_rate` or a
            `LearningRateScheduler` say otherwise.
        keep: Which weights the model has in the end. `"best"`, where there is
            validation data: of each phase's end and its epoch with the least validation
            loss those that do best there once calibrated, their logits then divided by
            the temperature that suits them, at least 1; each phase begins with the best
            so far and has to beat them by more than chance. `"last"`: those of the last
            epoch.

    Example:

    >>> recipe = tl.Recipe(epochs=3, layer_decay=0.8)
    >>> recipe.unfreeze_from, recipe.but(epochs=5).epochs
    ('auto', 5)
    """

    head_epochs: int | str = "auto"
    epochs: int | str | Sequence[int] = "auto"
    unfreeze_from: FreezePoint | Sequence[FreezePoint] = "auto"
    learning_rate: Any = "auto"
    fine_tune_learning_rate: Any = "auto"
    optimizer: Any = None
    schedule: Any = "auto"
    layer_decay: float | Mapping[str, float] | None = None
    l2_sp: float = 0.0
    patience: int | None = None
    train_batch_norm: bool = False
    class_weight: Mapping[Any, Any] | str | None = None
    sampling: str | None = None
    batch_size: int | str | None = None
    augment: Any = None
    cached_views: int | None = None
    backbone: keras.Model | str | None = None
    head: str = "auto"
    keep: str = "best"

    def but(self, **changes: Any) -> Self:
        """Returns the recipe with some settings changed.

        Args:
            **changes: Settings by name.

        Raises:
            ValueError: If there is no such setting.
        """
        for name in changes:
            if name not in SETTINGS:
                raise unknown_name("setting", name, SETTINGS)
        return replace(self, **changes)


SETTINGS = tuple(field.name for field in fields(Recipe))


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Returns a recipe's settings by name, of a plan its recipe's alone."""
    return {name: getattr(recipe, name) for name in SETTINGS}


def with_arguments(recipe: Any, arguments: Mapping[str, Any]) -> Recipe | str:
    """Returns the recipe that a call asks for, or `"auto"`, if it asks for a plan.

    Args:
        recipe: What the fit verb was given as `recipe`.
        arguments: Its other arguments that a recipe holds, too, by the recipe's names.

    Raises:
        ValueError: If `recipe` is none, or both say the same setting.
    """
    said = {name: value for name, value in arguments.items() if not is_auto(value)}
    if is_auto(recipe):
        if said:
            name, value = next(iter(said.items()))
            raise ValueError(
                f"recipe='auto' makes a plan, which settles {', '.join(said)}. "
                f"Received {name}={value!r} besides: change the plan instead, "
                f"`recipe=tl.plan(model, data).but({name}={value!r})`."
            )
        return recipe
    recipe = Recipe() if recipe is None else recipe
    if not isinstance(recipe, Recipe):
        raise ValueError(
            "`recipe` must be a `tl.Recipe`, a plan of `tl.plan`, or 'auto'. Received: "
            f"recipe={recipe!r}."
        )
    for name, value in said.items():
        other = getattr(recipe, name)
        if not is_auto(other):
            raise ValueError(
                f"`{name}` is said twice: {name}={value!r} in the call and "
                f"{name}={other!r} in `recipe=`. Leave one of them out, or pass "
                f"`recipe.but({name}={value!r})`."
            )
    return Recipe(**{**settings_of(recipe), **said})


def of_head(recipe: Recipe) -> Recipe:
    """Returns a recipe for phase one alone, without what only phase two reads."""
    if not is_auto(recipe.head_epochs):
        check_int("head_epochs", recipe.head_epochs, 1)
    kept = {n: v for n, v in settings_of(recipe).items() if n not in _OF_PHASE_TWO}
    return Recipe(**kept, epochs=0)


def completed(
    recipe: Recipe,
    *,
    usual: Mapping[str, Any],
    steps: int | None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Recipe:
    """Returns the recipe with values for `"auto"`, except for the batch size.

    Args:
        recipe: What was asked for.
        usual: What the kind of input says of some settings (`Input.usual`).
        steps: Steps of an epoch of phase one where its features are cached, so that
            epochs are cheap; otherwise `None`.
        callbacks: What the fit verb was given.
    """
    usual = {**usual, "learning_rate": _HEAD_LEARNING_RATE}
    found = {
        name: value for name, value in usual.items() if is_auto(getattr(recipe, name))
    }
    if recipe.head == "solve":
        _check_solvable(recipe)
    if recipe.head == "auto" and _says_how(recipe, callbacks):
        found["head"] = "gradient"
    if is_auto(recipe.head_epochs):
        found["head_epochs"] = _HEAD_EPOCHS
        if steps is not None:
            wanted = math.ceil(_HEAD_STEPS / steps)
            found["head_epochs"] = max(_HEAD_EPOCHS, min(wanted, _MOST_HEAD_EPOCHS))
    if "schedule" in found and _sets_rates(recipe, callbacks):
        found["schedule"] = "constant"
    return replace(recipe, **found)


def shared_out(epochs: Any, stages: int) -> list[int]:
    """Returns the epochs of each stage.

    Args:
        epochs: A list of them, or what each stage is to have.
        stages: How many there are.

    Raises:
        ValueError: If a list is not one for each stage, or a number is not whole.
    """
    listed = list(epochs) if isinstance(epochs, (list, tuple)) else [epochs] * stages
    if not stages or len(listed) != stages:
        raise ValueError(
            "`unfreeze_from` and `epochs` must name as many stages. Received: "
            f"{stages} freeze point(s), epochs={epochs!r}."
        )
    return [check_int("epochs", length, 0) for length in listed]


def is_auto(value: Any) -> bool:
    """Whether a value is the word `"auto"`."""
    return isinstance(value, str) and value == "auto"


def _check_solvable(recipe: Recipe) -> None:
    """Raises `ValueError` for what a head that is solved would not heed."""
    for name in ("head_epochs", "learning_rate"):
        value = getattr(recipe, name)
        if not is_auto(value):
            raise ValueError(
                f"head='solve' finds the minimum in one go, without {name}. Leave it "
                "out, or pass head='gradient', which trains by it. Received: "
                f"{name}={value!r}."
            )


def _says_how(recipe: Recipe, callbacks: Sequence[Any]) -> bool:
    """Whether something is said of phase one that only training by gradient heeds.

    One epoch leaves nothing to `ReduceLROnPlateau`, which waits for the loss to stall.
    """
    said = (recipe.head_epochs, recipe.learning_rate)
    scheduler = keras.callbacks.LearningRateScheduler
    return not all(map(is_auto, said)) or any(
        isinstance(callback, scheduler) for callback in callbacks
    )


def _sets_rates(recipe: Recipe, callbacks: Sequence[Any]) -> bool:
    """Whether something other than a schedule of ours sets learning rates."""
    rates = recipe.learning_rate, recipe.fine_tune_learning_rate
    schedules = keras.optimizers.schedules.LearningRateSchedule
    setters = keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler
    return any(isinstance(rate, schedules) for rate in rates) or any(
        isinstance(callback, setters) for callback in callbacks
    )
