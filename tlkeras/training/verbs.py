"""The verbs of training: a plan, phase one alone, both phases."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tlkeras._validation import check_int
from tlkeras.freezing import FreezePoint
from tlkeras.training.history import FineTuneHistory
from tlkeras.training.job import Fitting, open_job
from tlkeras.training.plan_facts import measure_facts
from tlkeras.training.planning import Plan, make_plan, model_for
from tlkeras.training.recipe import Recipe, is_auto
from tlkeras.training.running import train_by


def fit_head(
    model: keras.Model,
    train: Any,
    validation_data: Any = None,
    *,
    epochs: int | str = "auto",
    learning_rate: Any = "auto",
    recipe: Recipe | str | None = None,
    cache: str | Path | bool = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_dir: str | Path | None = None,
    log_dir: str | Path | None = None,
    verbose: Any = "auto",
) -> FineTuneHistory:
    """Trains the head on a frozen backbone: transfer learning, phase one.

    Args:
        model: Compiled functional `keras.Model` with a nested backbone, from
            `tl.image_classifier` or your own. Its loss and metrics are kept, also a
            `compute_loss` or `compute_metrics` of its own; a `train_step` or
            `test_step` of its own is refused.
        train: Batched `tf.data.Dataset` of `(inputs, labels)`, such as `data.train`, or
            `keras.utils.PyDataset`, with an end; a tuple of arrays, or of lists and
            dictionaries of arrays where there are several inputs or outputs; or
            `Splits`, whose `val` then serves as well.
        validation_data: The same for validation after each epoch, or `None`.
        epochs: Passes over `train`, at least 1, by gradient. `"auto"`: the recipe's
            `head_epochs`; or the head is solved, in one epoch, where it is one Dense
            layer on cached features and its loss is cross-entropy or the squared error.
            Otherwise 10; where features are cached and these were less than 300 steps,
            as many as make 300, but at most 150.
        learning_rate: A float, the peak of the recipe's schedule; or a
            `keras.optimizers.schedules.LearningRateSchedule`: by gradient. `"auto"`:
            the recipe's; or 1e-3, where the head is not solved.
        recipe: A `tl.Recipe` with all other settings: optimizer, schedule, patience,
            class weights, sampling, batch size, augmentation and so on; a plan of
            `tl.plan`; or `"auto"`, which makes one. What is for phase two alone is not
            read: `epochs`, `unfreeze_from`, `fine_tune_learning_rate`, `layer_decay`,
            `l2_sp`, `train_batch_norm`.
        cache: Where to keep what the frozen part computes, once for all epochs.
            `"auto"` or `"disk"`: in the cache folder (`tl.cache_info()`), for later
            runs too; `"memory"`; a folder; `False`: compute it anew in each epoch.
            What does not fit the budget, or comes from a dataset that is not of
            `Splits`, is computed anew, and the output says so.
        callbacks: Keras callbacks. They see `model`, not a part of it.
        checkpoint_dir: A folder of this run's own. Where the process dies, the same
            call goes on from the last checkpoint (at most 30 seconds of work, or 20
            times what writing one takes, are done again) to the same result; where the
            run is complete, it gives its result at once, without any feature.
        log_dir: A folder for `epochs.csv` and for TensorBoard's events.
        verbose: `"auto"` or 1 (a progress bar for each epoch; for a phase of more than
            20 epochs, one for all), 2 (one line per epoch) or 0 (silent).

    Returns:
        A `FineTuneHistory` of one phase.

    Raises:
        ValueError: If the model is not compiled, has no backbone or a step of its own,
            the data do not fit it, an argument is not one of the above, or the call
            and the recipe say the same setting.
        PhaseError: If the loss is not finite or explodes (the best weights so far are
            restored), a frozen weight changed, or no other did.
        CheckpointError: If a checkpoint cannot be written, or is damaged.
        MemoryError: If a device has too little memory for the batch size.

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
    if not is_auto(epochs):
        check_int("epochs", epochs, 1)
    return train_by(
        open_job(
            model,
            train,
            validation_data,
            recipe,
            Fitting(cache, callbacks, checkpoint_dir, log_dir, verbose),
            arguments={"head_epochs": epochs, "learning_rate": learning_rate},
            head_only=True,
        )
    )


def fine_tune(
    model: keras.Model,
    train: Any,
    validation_data: Any = None,
    *,
    head_epochs: int | str = "auto",
    epochs: int | str | Sequence[int] = "auto",
    unfreeze_from: FreezePoint | Sequence[FreezePoint] = "auto",
    learning_rate: Any = "auto",
    fine_tune_learning_rate: Any = "auto",
    recipe: Recipe | str | None = None,
    cache: str | Path | bool = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_dir: str | Path | None = None,
    log_dir: str | Path | None = None,
    verbose: Any = "auto",
) -> FineTuneHistory:
    """Trains the head on a frozen backbone, then the backbone's top with it.

    Each phase starts with a fresh optimizer, after a compilation that follows the last
    change of a `trainable` flag. The frozen part runs in inference mode, batch norms
    and dropout included. After each phase it is verified that frozen weights are bit
    for bit what they were, and that trained ones moved.

    Args:
        model: Compiled functional `keras.Model` with a nested backbone, from
            `tl.image_classifier` or your own. Its loss and metrics are kept, also a
            `compute_loss` or `compute_metrics` of its own; a `train_step` or
            `test_step` of its own is refused.
        train: Batched `tf.data.Dataset` of `(inputs, labels)`, such as `data.train`, or
            `keras.utils.PyDataset`, with an end; a tuple of arrays, or of lists and
            dictionaries of arrays where there are several inputs or outputs; or
            `Splits`, whose `val` then serves as well.
        validation_data: The same for validation after each epoch, or `None`.
        head_epochs: Epochs of phase one, by gradient; 0 skips it. `"auto"`: the head is
            solved, in one epoch, where it is one Dense layer on cached features and its
            loss is cross-entropy or the squared error. Otherwise 10; where features are
            cached and these were less than 300 steps, as many as make 300, but at most
            150.
        epochs: Epochs of phase two, or of each of its stages. `"auto"`: 10 for
            pictures and sounds, 3 for texts; for tables as many as make 2,000 steps
            of 32 rows, from 10 to 60.
        unfreeze_from: Where the backbone's trained part begins: a layer's name or the
            start of it (`"block5"`), a number of layers (`15`), or `0.3` for the top
            30 % of the layers with weights; `None` trains none of it. A list unfreezes
            gradually, one stage each; `"gradual"` chooses three stages. `"auto"`: for
            pictures 0.3, from 500 training examples on 0.6; for texts the upper half
            of the transformer layers; for sounds and tables 1.0, all of it.
        learning_rate: Phase one's: a float, the peak of the recipe's schedule; or a
            `keras.optimizers.schedules.LearningRateSchedule`: by gradient. `"auto"`:
            1e-3, where the head is not solved.
        fine_tune_learning_rate: Phase two's, the same. `"auto"`: for pictures 1e-5,
            from 500 training examples on 3e-4; for texts 1e-4; for sounds 1e-3, with
            a transformer 1e-4; for tables 5e-4.
        recipe: A `tl.Recipe` with these and all other settings: optimizer, schedule,
            layer decay, L2-SP, patience, batch norms, class weights, sampling, batch
            size, augmentation and so on; a plan of `tl.plan`; or `"auto"`, which makes
            one.
        cache: Where to keep what the frozen part computes, once for all epochs.
            `"auto"` or `"disk"`: in the cache folder (`tl.cache_info()`), for later
            runs too; `"memory"`; a folder; `False`: compute it anew in each epoch.
        callbacks: Keras callbacks. They see `model`, not a part of it.
        checkpoint_dir: A folder of this run's own, from which the same call goes on
            after an interruption, to the same result.
        log_dir: A folder for `epochs.csv` and for TensorBoard's events.
        verbose: `"auto"` or 1 (a progress bar for each epoch; for a phase of more than
            20 epochs, one for all), 2 (one line per epoch) or 0 (silent).

    Returns:
        A `FineTuneHistory` of all phases, joined.

    Raises:
        ValueError: If an argument is out of range, the model is not compiled, has no
            backbone or a step of its own, a freeze point does not exist, the data do
            not fit, or the call and the recipe say the same setting.
        PhaseError: If the loss is not finite or explodes (the best weights so far are
            restored), a frozen weight changed, or no other did.
        CheckpointError: If a checkpoint cannot be written, or is damaged.
        MemoryError: If a device has too little memory for the batch size.

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
    return train_by(
        open_job(
            model,
            train,
            validation_data,
            recipe,
            Fitting(cache, callbacks, checkpoint_dir, log_dir, verbose),
            arguments={
                "head_epochs": head_epochs,
                "epochs": epochs,
                "unfreeze_from": unfreeze_from,
                "learning_rate": learning_rate,
                "fine_tune_learning_rate": fine_tune_learning_rate,
            },
        )
    )


def plan(
    model: keras.Model | str | os.PathLike,
    train: Any,
    validation_data: Any = None,
    *,
    cache: str | Path | bool = "auto",
    seed: int = 0,
    verbose: Any = "auto",
) -> Plan:
    """Proposes how to fine-tune a backbone on data, and says why.

    It counts examples and classes, looks at the machine, and measures how well the
    frozen backbone's features of at most 2,000 training examples, mostly 500, tell the
    labels. Few examples near to what the backbone knows: little is unfrozen and much is
    regularised; many examples that are far: all of it is trained. A plan is where to
    start from, not the best that there is. It says where validation examples differ
    from the training ones, by features of 200 of them. The test part is not looked at.

    Args:
        model: A backbone, or its name; or a whole compiled model such as a
            `TransferModel`, which stays as it is. A text backbone other than by name:
            as a whole model.
        train: `Splits`; for a whole model also what `tl.fine_tune` takes: a dataset of
            `Splits` or a tuple of arrays.
        validation_data: The same for validation, where `train` is not `Splits`.
        cache: Where to keep the features: `"auto"` or `"disk"` in the cache folder, for
            `tl.fine_tune` too; `"memory"` or `False` nowhere; or a folder.
        seed: Seed of the examples that are looked at.
        verbose: 0 for no progress bar.

    Returns:
        A `Plan`, which is a `tl.Recipe`: `recipe=plan` for `tl.fine_tune`;
        `plan.builder` goes into the builder; `plan.but(epochs=3)` changes a setting.

    Raises:
        ValueError: If the training examples are not known beforehand, or the backbone
            does not fit them.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), "uint8")
    >>> data = tl.from_arrays(x, np.arange(60) % 2)
    >>> proposal = tl.plan("glyphnet", data, verbose=0)
    >>> proposal.distance, proposal.but(epochs=3).epochs
    ('far', 3)

    Reference:
        CS231n, Transfer Learning, https://cs231n.github.io/transfer-learning/; the
        Keras guide, https://keras.io/guides/transfer_learning/.
    """
    check_int("seed", seed, 0)
    fitting = Fitting(cache=cache, verbose=verbose)
    whole = model_for(model, train)
    job = open_job(whole, train, validation_data, fitting=fitting)
    return make_plan(
        measure_facts(
            job.model,
            job.problem,
            job.train,
            job.val,
            cache=cache,
            seed=seed,
            verbose=verbose,
        ),
        built=whole is model,
    )
