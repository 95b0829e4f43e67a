"""The verb `pretrain`: a backbone learns from inputs alone, before there are labels."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_choice, check_int, check_number
from tlkeras.builders import TransferModel, recording
from tlkeras.data import Splits
from tlkeras.distribution import strategy_of
from tlkeras.features.reading import as_examples
from tlkeras.freezing import recompile, set_trainable
from tlkeras.records import Pretraining
from tlkeras.records.encoding import random_state_kept
from tlkeras.records.surroundings import surroundings
from tlkeras.training import PhaseError

_LEAST, _LEAST_STEPS, _EPOCHS = 16, 3_000, (10, 200)
# Of data without a validation part, each so many.
_HELD_OUT = 0.1


def pretrain(
    model: TransferModel,
    data: Any,
    validation_data: Any = None,
    *,
    epochs: int | str = "auto",
    learning_rate: float | str = "auto",
    batch_size: int = 64,
    patience: int | None = None,
    seed: int = 0,
    verbose: Any = "auto",
) -> keras.callbacks.History:
    """Trains the backbone of a model on examples without labels.

    Labels are dear, rows and recordings are not. The backbone learns a task that
    inputs set themselves, such as to fill in cells of a table that were masked; the
    whole of it trains, and layers that only this task needs are thrown away. The head
    and the freeze point stay as they are: `tl.fine_tune` comes next. The weights of
    the epoch with the lowest validation loss are kept.

    Args:
        model: A `TransferModel` whose kind of input has such a task, as
            `tl.table_classifier` builds it. Its backbone is changed in place.
        data: Examples: `Splits`, of which the training part is learnt from and the
            validation part serves as `validation_data`; a dataset of `Splits`; or
            inputs as `model.classify` takes them. Labels are not looked at. Leave the
            test part out of it, as of all training.
        validation_data: The same for validation. `None`: the validation part of
            `Splits`, else a tenth of `data` is held out.
        epochs: Passes over `data`. `"auto"`: as many as make 3,000 steps, at least 10
            and at most 200.
        learning_rate: A number. `"auto"`: what the kind of input takes for its task.
        batch_size: Examples per step.
        patience: Epochs without a lower validation loss after which it stops. `None`:
            it does not.
        seed: Seed of orders, of what is held out and of all that is random in the task.
        verbose: `"auto"` or 1 (a progress bar for each epoch), 2 (one line per epoch)
            or 0 (silent).

    Returns:
        A Keras `History` with `"loss"` and `"val_loss"`. `model.record.pretrained[-1]`
        says what was done.

    Raises:
        UnsupportedError: If the kind of input has no such task.
        ValueError: If there are fewer than 16 examples, they do not fit the model, or
            an argument is none of the above.
        PhaseError: If the loss is not finite or no epoch lowered the validation loss,
            or the backbone did not move. It then has the weights that it had before.

    Example:

    >>> import pandas as pd
    >>> a = np.random.default_rng(0).normal(size=200)
    >>> frame = pd.DataFrame({"a": a, "twice": 2 * a, "sold": a > 0})
    >>> data = tl.from_dataframe(frame, features="all", label="sold")
    >>> model = tl.table_classifier("ft_transformer", data, width=8, blocks=1)
    >>> history = tl.pretrain(model, data, epochs=5, learning_rate=0.01, verbose=0)
    >>> model.record.pretrained[-1].examples
    {'train': 140, 'val': 30}

    Reference:
        Rubachev et al., Revisiting Pretraining Objectives for Tabular Deep Learning
        (2022).
    """
    _check(model, epochs, learning_rate, batch_size, patience, seed, verbose)
    parts = _parts(model, data, validation_data, seed)
    count = len(parts["train"])
    if epochs == "auto":
        wanted = math.ceil(_LEAST_STEPS / math.ceil(count / batch_size))
        epochs = min(max(wanted, _EPOCHS[0]), _EPOCHS[1])
    streams = {
        part: _inputs(model, examples, batch_size, part == "train", seed)
        for part, examples in parts.items()
    }
    kept = [np.array(variable) for variable in model.backbone.weights]
    try:
        with random_state_kept(), _all_trainable(model):
            # Keras takes seeds that nobody gave from there.
            random.seed(seed)
            history, before = _fitted(
                model, streams, epochs, learning_rate, patience, verbose
            )
        after = min(history.history["val_loss"])
        _verify(model.backbone, kept, before, history)
    except BaseException:
        model.backbone.set_weights(kept)
        raise
    # What was found out of the old backbone does not hold for this one.
    model.temperature, model.feature_statistics = None, {}
    _record(model, parts, epochs=len(history.epoch), before=before, after=after)
    return history


def _check(
    model: Any,
    epochs: Any,
    learning_rate: Any,
    batch_size: Any,
    patience: Any,
    seed: Any,
    verbose: Any,
) -> None:
    if not isinstance(model, TransferModel) or not model.compiled:
        raise ValueError(
            "`model` must be a compiled `TransferModel`, as `tl.table_classifier` "
            f"builds it and `tl.load` loads it. Received: {type(model).__name__}."
        )
    if epochs != "auto":
        check_int("epochs", epochs, 1)
    if learning_rate != "auto":
        check_number("learning_rate", learning_rate, above=0)
    check_int("batch_size", batch_size, 1)
    if patience is not None:
        check_int("patience", patience, 1)
    check_int("seed", seed, 0)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    strategy = strategy_of(model)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "`tl.pretrain` runs on one device. Build or load the model without a "
            "strategy: `tl.configure(strategy=None)`, then `tl.load`. Received: "
            f"{strategy.num_replicas_in_sync} replicas."
        )


def _parts(
    model: TransferModel, data: Any, validation_data: Any, seed: int
) -> dict[str, Any]:
    """Returns the `Examples` of both parts."""
    if isinstance(data, Splits):
        if validation_data is None:
            validation_data = data.val
        data = data.train
    train = as_examples(model, data, "data")
    if len(train) < _LEAST:
        raise ValueError(
            f"`data` must have at least {_LEAST} examples, better some thousand. "
            f"Received: {len(train)}."
        )
    if validation_data is not None:
        val = as_examples(model, validation_data, "validation_data")
        return {"train": train, "val": val}
    order = np.random.default_rng(seed).permutation(len(train))
    held = math.ceil(_HELD_OUT * len(train))
    return {
        "train": train.select(np.sort(order[held:])),
        "val": train.select(np.sort(order[:held])),
    }


def _inputs(
    model: TransferModel, examples: Any, batch_size: int, shuffle: bool, seed: int
) -> Any:
    """Returns batches of inputs alone, as the model's graph takes them."""
    prepared = model.problem.input.prepare(examples).examples
    return prepared.dataset(batch_size, shuffle, seed).map(lambda x, *rest: x)


@contextmanager
def _all_trainable(model: TransferModel) -> Iterator[None]:
    """Has the whole backbone train meanwhile, whatever the freeze point."""
    layers = _keras.sublayers(model.backbone)
    flags = [layer.trainable for layer in layers]
    set_trainable(model.backbone, True)
    try:
        yield
    finally:
        # A layer's flag sets those of layers inside it, which come after it.
        for layer, flag in zip(layers, flags, strict=True):
            layer.trainable = flag
        recompile(model)


def _fitted(
    model: TransferModel,
    streams: dict[str, Any],
    epochs: int,
    learning_rate: float | str,
    patience: int | None,
    verbose: Any,
) -> tuple[keras.callbacks.History, float]:
    """Fits the task, keeping the best weights; returns also the loss before."""
    task = model.problem.input.pretext(model)
    if learning_rate != "auto":
        task.optimizer.learning_rate = learning_rate
    before = task.evaluate(streams["val"], verbose=0, return_dict=True)["loss"]
    best = keras.callbacks.EarlyStopping(
        "val_loss", patience=patience or epochs, mode="min", restore_best_weights=True
    )
    history = task.fit(
        streams["train"],
        validation_data=streams["val"],
        epochs=epochs,
        # Each pass over the batches has an order of its own.
        shuffle=False,
        callbacks=[best, keras.callbacks.TerminateOnNaN()],
        verbose=verbose,
    )
    return history, float(before)


def _verify(
    backbone: keras.Model, kept: list[np.ndarray], before: float, history: Any
) -> None:
    """Raises `PhaseError` unless the loss fell and the backbone moved."""
    losses = [*history.history["loss"], *history.history["val_loss"]]
    if not np.isfinite(losses).all():
        raise PhaseError(
            f"The loss is not finite: {losses[-1]}. Are there values that are not, or "
            "is the learning rate too large? The backbone is as it was."
        )
    after = min(history.history["val_loss"])
    if after >= before:
        raise PhaseError(
            f"No epoch lowered the validation loss: it was {before:.4g} before and "
            f"{after:.4g} at best. Pass a smaller `learning_rate` or more data. The "
            "backbone is as it was."
        )
    now = zip(backbone.weights, kept, strict=True)
    if all(np.array_equal(np.array(variable), value) for variable, value in now):
        raise PhaseError("No weight of the backbone moved: the task does not reach it.")


def _record(model: TransferModel, parts: dict[str, Any], **facts: Any) -> None:
    record = model.record
    if record is None:
        return
    entry = Pretraining(
        after_run=len(record.runs),
        after_learnt=len(record.learnt),
        after_adapted=len(record.adapted),
        examples={part: len(examples) for part, examples in parts.items()},
        fingerprints={part: each.fingerprint() for part, each in parts.items()},
        **facts,
        surroundings=surroundings(),
        weights=recording.fingerprint(model),
    )
    model.keep_record(replace(record, pretrained=(*record.pretrained, entry)))
