"""The fit verbs: phase one alone, and both phases."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tlkeras._validation import check_int
from tlkeras.freezing import FreezePoint
from tlkeras.training.history import FineTuneHistory
from tlkeras.training.phase import Fitting
from tlkeras.training.recipe import Recipe, is_auto
from tlkeras.training.running import RECIPE, planned, train_by


def fit_head(
    model: keras.Model,
    train: Any,
    val: Any = None,
    *,
    epochs: int | str = "auto",
    learning_rate: Any = 1e-3,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    schedule: Any = "auto",
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
        epochs: Passes over `train`. `"auto"`: 10; where features are cached and these
            were less than 300 steps, as many as make 300, but at most 150.
        learning_rate: The peak of `schedule`, a float; or a
            `keras.optimizers.schedules.LearningRateSchedule` of your own.
        optimizer: `"adam"`, `"adamw"`, `"sgd"` (with momentum), another name that
            Keras knows, or a Keras optimizer, whose settings are kept: `clipnorm`,
            `gradient_accumulation_steps`, `use_ema`, `weight_decay` and so on. Weight
            decay spares biases and norms. `None`: the kind that `model` has.
        schedule: `"constant"`, `"cosine"` (after a warm-up), `"one_cycle"`, or one of
            `tl.Constant`, `tl.Cosine`, `tl.OneCycle` with settings of your own.
            `"auto"`: constant for pictures, cosine for texts.
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
        head_epochs=epochs if is_auto(epochs) else check_int("epochs", epochs, 1),
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
    head_epochs: int | str = "auto",
    epochs: int | str | Sequence[int] = "auto",
    unfreeze_from: FreezePoint | Sequence[FreezePoint] = "auto",
    learning_rate: Any = 1e-3,
    fine_tune_learning_rate: Any = "auto",
    optimizer: keras.optimizers.Optimizer | str | None = None,
    schedule: Any = "auto",
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
        head_epochs: Epochs of phase one, as `epochs` in `fit_head`; 0 skips it.
        epochs: Epochs of phase two, or of each of its stages. `"auto"`: 10 for
            pictures, 3 for texts.
        unfreeze_from: A freeze point as in `tl.freeze`: `"block5"`, `15`, or `0.3` for
            the top 30 % of the layers with weights. A list unfreezes gradually, one
            stage each; `"gradual"` chooses three stages by the backbone's blocks. With
            `patience`, a stage whose validation loss stalls gives way to the next.
            `"auto"`: 0.3 for pictures, 0.5 for texts.
        learning_rate: Phase one's, as in `fit_head`.
        fine_tune_learning_rate: Phase two's. `"auto"`: 1e-5 for pictures, 1e-4 for
            texts.
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
