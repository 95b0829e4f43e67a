"""The fit verbs: phase one alone, and both phases."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from tlkeras._validation import check_choice, check_int, check_number
from tlkeras.freezing import FreezePoint, find_backbone, freeze_index
from tlkeras.training.checks import check_data, check_fitting, check_model
from tlkeras.training.feeding import Feeder, Source, with_augment
from tlkeras.training.history import FineTuneHistory
from tlkeras.training.phase import Fitting, Stage, run_stage


def fit_head(
    model: keras.Model,
    train: Any,
    val: Any = None,
    *,
    epochs: int = 10,
    learning_rate: Any = 1e-3,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    class_weight: dict[int, float] | None = None,
    cache: str | Path | bool = "auto",
    augment: Any = None,
    cached_views: int | None = None,
    backbone: keras.Model | str | None = None,
    verbose: Any = "auto",
) -> FineTuneHistory:
    """Trains the head on a frozen backbone: transfer learning, phase one.

    Args:
        model: Compiled functional `keras.Model` with a nested backbone, from
            `tl.image_classifier` or your own. Its loss, metrics and kind of optimizer
            are kept.
        train: Batched `tf.data.Dataset` of `(inputs, labels)`, such as `data.train`, or
            a tuple of arrays.
        val: The same for validation after each epoch, or `None`.
        epochs: Passes over `train`.
        learning_rate: A float or a `keras.optimizers.schedules.LearningRateSchedule`.
        callbacks: Keras callbacks. They see `model`, not a part of it.
        class_weight: From class number to weight, such as `data.class_weights()`.
        cache: Where to keep what the frozen part computes, once for all epochs.
            `"auto"` or `"disk"`: in the cache folder (`tl.cache_info()`), for later
            runs too; `"memory"`; a folder; `False`: compute it anew in each epoch.
            What does not fit the budget, or comes from a dataset that is not of
            `Splits`, is computed anew, and the output says so.
        augment: Random changes to training pictures: `"light"`, `"medium"` or
            `"strong"`; `"mixup"` or `"cutmix"`; an augmentation layer of Keras or
            KerasCV; a function of pictures, or of pictures and labels; or a list of
            these. The presets flip pictures: not for digits or print. Every epoch sees
            others, and nothing is cached, unless `cached_views` is given.
        cached_views: How many augmented views of each example to compute and keep;
            the epochs take turns with them.
        backbone: The nested backbone or its name, where there are several.
        verbose: As in `keras.Model.fit`.

    Returns:
        A `FineTuneHistory` of one phase.

    Raises:
        ValueError: If the model is not compiled or has no backbone, the data do not
            fit it, or an argument is not one of the above.
        PhaseError: If a frozen weight changed, no other did, or the loss is not finite.

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
    check_learning_rate("learning_rate", learning_rate)
    stage = Stage("head", None, check_int("epochs", epochs, 1), learning_rate)
    fitting = Fitting(callbacks, class_weight, False, backbone, verbose)
    source = Source(train, val, cache, augment, cached_views)
    return run_stages(model, [stage], source, fitting)


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
    train_batch_norm: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    class_weight: dict[int, float] | None = None,
    cache: str | Path | bool = "auto",
    augment: Any = None,
    cached_views: int | None = None,
    backbone: keras.Model | str | None = None,
    verbose: Any = "auto",
) -> FineTuneHistory:
    """Trains the head on a frozen backbone, then the backbone's top with it.

    Each phase starts with a fresh optimizer, after a compilation that follows the last
    change of a `trainable` flag. The frozen part runs in inference mode, batch norms
    and dropout included. After each phase the promises are checked: frozen weights are
    bit for bit what they were, trained ones moved, the loss is finite.

    Args:
        model: As in `fit_head`.
        train: As in `fit_head`.
        val: As in `fit_head`.
        head_epochs: Epochs of phase one; 0 skips it.
        epochs: Epochs of phase two, or of each of its stages.
        unfreeze_from: A freeze point as in `tl.freeze`: `"block5"`, `15`, or `0.3` for
            the top 30 % of the layers with weights. A list unfreezes gradually, one
            stage each.
        learning_rate: Phase one's, a float or a schedule.
        fine_tune_learning_rate: Phase two's, a float or a schedule.
        train_batch_norm: As in `tl.freeze`.
        callbacks: As in `fit_head`.
        class_weight: As in `fit_head`.
        cache: As in `fit_head`.
        augment: As in `fit_head`.
        cached_views: As in `fit_head`.
        backbone: As in `fit_head`.
        verbose: As in `keras.Model.fit`.

    Returns:
        A `FineTuneHistory` of all phases, joined.

    Raises:
        ValueError: If an argument is out of range, the model is not compiled or has no
            backbone, a freeze point does not exist, or the data do not fit.
        PhaseError: If a frozen weight changed, no other did, or the loss is not finite.

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
        https://keras.io/guides/transfer_learning/; gradual unfreezing: Howard and
        Ruder, Universal Language Model Fine-tuning for Text Classification (2018).
    """
    stages = plan_stages(
        head_epochs, epochs, unfreeze_from, learning_rate, fine_tune_learning_rate
    )
    fitting = Fitting(callbacks, class_weight, train_batch_norm, backbone, verbose)
    source = Source(train, val, cache, augment, cached_views)
    return run_stages(model, stages, source, fitting)


def run_stages(
    model: keras.Model,
    stages: Sequence[Stage],
    source: Source,
    fitting: Fitting,
) -> FineTuneHistory:
    """Checks everything that can be checked beforehand, then runs the stages."""
    check_model(model, fitting.backbone)
    callbacks = check_fitting(model, fitting.callbacks, fitting.class_weight)
    fitting = replace(fitting, callbacks=callbacks)
    check_choice("verbose", fitting.verbose, ("auto", 0, 1, 2))
    points = [stage.freeze_point for stage in stages]
    for point in points:
        freeze_index(find_backbone(model, fitting.backbone), point)
    check_data(model, source.train, source.val)
    feeder = Feeder(
        model,
        points,
        with_augment(source, model),
        backbone=fitting.backbone,
        train_batch_norm=fitting.train_batch_norm,
        verbose=fitting.verbose,
    )
    history = FineTuneHistory()
    for stage in stages:
        run_stage(model, stage, feeder, fitting, history)
    return history


def plan_stages(
    head_epochs: int,
    epochs: int | Sequence[int],
    unfreeze_from: FreezePoint | Sequence[FreezePoint],
    learning_rate: Any,
    fine_tune_learning_rate: Any,
) -> list[Stage]:
    """Turns the arguments of `fine_tune` into stages, or raises `ValueError`."""
    gradual = isinstance(unfreeze_from, (list, tuple))
    points = list(unfreeze_from) if gradual else [unfreeze_from]
    lengths = list(epochs) if isinstance(epochs, (list, tuple)) else None
    lengths = lengths or [epochs] * len(points)
    if not points or len(lengths) != len(points):
        raise ValueError(
            "`unfreeze_from` and `epochs` must name as many stages. Received: "
            f"unfreeze_from={unfreeze_from!r}, epochs={epochs!r}."
        )
    check_learning_rate("learning_rate", learning_rate)
    check_learning_rate("fine_tune_learning_rate", fine_tune_learning_rate)
    stages = []
    if check_int("head_epochs", head_epochs, 0):
        stages.append(Stage("head", None, head_epochs, learning_rate))
    for number, (point, length) in enumerate(zip(points, lengths, strict=True), 1):
        name = f"fine-tune {number}" if len(points) > 1 else "fine-tune"
        if check_int("epochs", length, 0):
            stages.append(Stage(name, point, length, fine_tune_learning_rate))
    if not stages:
        raise ValueError("`head_epochs` and `epochs` are both 0: nothing to train.")
    return stages


def check_learning_rate(argument: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is a positive number or a schedule."""
    if not isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        check_number(argument, value, above=0)
