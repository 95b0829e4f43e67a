"""`Recipe`: how to fine-tune, as data, and what `"auto"` stands for in it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from tlkeras._validation import check_int
from tlkeras.freezing import FreezePoint

# What "auto" stands for. Rates and epochs are measured: 5 folds of the training part of
# ants/bees with MobileNetV2, 2,000 sentences of SST-2 with MiniLM (see the README).
_PICTURES = {
    "epochs": 10,
    "unfreeze_from": 0.3,
    "fine_tune_learning_rate": 1e-5,
    "schedule": "constant",
}
_TEXTS = {
    "epochs": 3,
    "unfreeze_from": 0.5,
    "fine_tune_learning_rate": 1e-4,
    "schedule": "cosine",
}
# A head needs some steps whatever the number of examples: 50 pictures of digits, 2
# steps an epoch, are at 0.34 after 10 epochs and at 0.93 after 300 steps. On cached
# features they cost next to nothing.
_HEAD_EPOCHS, _HEAD_STEPS, _MOST_HEAD_EPOCHS = 10, 300, 150


@dataclass(frozen=True)
class Recipe:
    """How `fine_tune` trains: every setting that changes the result.

    The fields are the arguments of `fine_tune` of the same names.

    Attributes:
        head_epochs: Epochs of phase one; 0 skips it.
        epochs: Epochs of phase two, or of each of its stages.
        unfreeze_from: Freeze point of phase two, a list of them, or `"gradual"`.
        learning_rate: Phase one's peak learning rate.
        fine_tune_learning_rate: Phase two's peak learning rate.
        optimizer: A Keras optimizer or its name; `None` for the model's.
        schedule: How the learning rate runs within a phase.
        layer_decay: Factor on the learning rate from each block to the one below.
        l2_sp: Decay of trained backbone weights towards their pretrained values.
        patience: Epochs without a better validation loss after which a phase ends.
        train_batch_norm: Whether batch norms above the freeze point train.
        class_weight: From class number to weight, or `"balanced"`.
        sampling: `"balanced"` draws each class equally often.
        batch_size: Examples per batch, `"auto"`, or `None` for the data's own.
        augment: Random changes to training pictures.
        cached_views: Augmented views of each picture to keep.

    Example:

    >>> tl.Recipe(epochs=3, layer_decay=0.8).unfreeze_from
    'auto'
    """

    head_epochs: int | str = "auto"
    epochs: int | str | tuple[int, ...] = "auto"
    unfreeze_from: FreezePoint | tuple[FreezePoint, ...] = "auto"
    learning_rate: Any = 1e-3
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


def completed(
    recipe: Recipe,
    *,
    is_text: bool,
    steps: int | None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Recipe:
    """Returns the recipe with values for `"auto"`, except for the batch size.

    Args:
        recipe: What was asked for.
        is_text: Whether the model takes texts.
        steps: Steps of an epoch of phase one where its features are cached, so that
            epochs are cheap; otherwise `None`.
        callbacks: What the fit verb was given.
    """
    usual = _TEXTS if is_text else _PICTURES
    found = {
        name: value for name, value in usual.items() if is_auto(getattr(recipe, name))
    }
    if recipe.head_epochs == "auto":
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


def _sets_rates(recipe: Recipe, callbacks: Sequence[Any]) -> bool:
    """Whether something other than a schedule of ours sets learning rates."""
    rates = recipe.learning_rate, recipe.fine_tune_learning_rate
    schedules = keras.optimizers.schedules.LearningRateSchedule
    setters = keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler
    return any(isinstance(rate, schedules) for rate in rates) or any(
        isinstance(callback, setters) for callback in callbacks
    )
