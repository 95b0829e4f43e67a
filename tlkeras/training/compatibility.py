"""Whether a model can be trained, and whether data and callbacks fit it."""

from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_same_classes
from tlkeras.distribution import strategy_of
from tlkeras.freezing import find_backbone
from tlkeras.inputs.examples import reading_of
from tlkeras.training.own_loss import check_steps, refuse_own_loss


def check_model(model: keras.Model, backbone: keras.Model | str | None = None) -> None:
    """Raises `ValueError` unless phases can train `model`.

    It has a backbone, a loss and an optimizer, and takes no steps of its own.
    """
    find_backbone(model, backbone)
    if (
        not model.compiled
        or model.optimizer is None
        or not getattr(model, "loss", None)
    ):
        raise ValueError(
            f"Model {model.name!r} is not compiled. Call `model.compile(optimizer=..., "
            "loss=..., metrics=[...])` first; the fit verbs keep its loss, metrics and "
            "kind of optimizer."
        )
    check_steps(model)
    if strategy_of(model) is not None:
        refuse_own_loss(
            model,
            "on several replicas tlkeras averages over the examples of all of them, "
            "which it cannot do inside of such a method. Train it on one device "
            "(`tl.configure(strategy='none')`), or give `model.compile` a loss.",
        )


def check_data(model: keras.Model, data: Any, name: str) -> None:
    """Raises `ValueError` where data cannot be what the model was built for.

    Labels of data sets that tlkeras made are all looked at; of others, the first batch.

    Args:
        model: The compiled model.
        data: Batched dataset of `(inputs, labels)`, or a tuple of arrays.
        name: What the verb calls them.
    """
    inputs, labels, class_names = _look_into(data, name)
    _check_inputs(model, inputs, name)
    check_same_classes(name, class_names, getattr(model, "class_names", None))
    # `Targets.pack_data` has looked at the labels of several heads.
    if getattr(model, "targets", None) is None:
        _check_labels(model, labels, name)


def check_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Returns the callbacks (one, several, none) as a list, or raises `ValueError`."""
    listed = keras.tree.flatten(() if callbacks is None else callbacks)
    wrong = [x for x in listed if not isinstance(x, keras.callbacks.Callback)]
    if wrong:
        raise ValueError(
            "`callbacks` must be a list of `keras.callbacks.Callback`s. Received: "
            f"{wrong[0]!r}."
        )
    return listed


def check_arrays(data: tuple, name: str) -> None:
    """Raises `ValueError` unless a tuple holds arrays of inputs and of labels."""
    arrays = all(hasattr(part, "shape") for part in keras.tree.flatten(data[0]))
    if not arrays or data[1] is None:
        raise ValueError(
            f"`{name}` must hold inputs and labels as arrays; make them of lists "
            "with `np.array`. Received: "
            f"{tuple(type(part).__name__ for part in data)}."
        )
    if len(data[0]) != len(data[1]) or not len(data[0]):
        raise ValueError(
            f"`{name}` must hold as many labels as inputs, and at least one. "
            f"Received {len(data[0])} inputs and {len(data[1])} labels."
        )


def _look_into(data: Any, name: str) -> tuple[Any, np.ndarray, tuple | None]:
    """Returns what inputs look like, as many labels as are cheap to have, class names.

    Of data that tlkeras has read, nothing is decoded for it.
    """
    if isinstance(data, tuple) and len(data) in (2, 3):
        return data[0][:1], np.asarray(data[1]), None
    known = reading_of(data)
    if known is not None and not len(known.examples):
        raise ValueError(f"`{name}` is empty.")
    if known is not None:
        labels = np.asarray(known.examples.labels)
        return data.element_spec[0], labels, known.class_names
    try:
        # A generator would be without its first batch.
        first = None if hasattr(data, "__next__") else next(iter(data))
    except StopIteration:
        raise ValueError(f"`{name}` is empty.") from None
    except TypeError:
        first = None
    if not isinstance(first, tuple) or len(first) not in (2, 3):
        raise ValueError(
            f"`{name}` must be a batched dataset of (inputs, labels) or a tuple of "
            f"arrays. Received: {type(data).__name__}"
            + ("." if first is None else f" of {type(first).__name__}.")
        )
    return first[0], np.asarray(first[1]), None


def _check_inputs(model: keras.Model, inputs: Any, name: str) -> None:
    if getattr(model, "preprocessor", None) is not None:
        _check_texts(inputs, name)
        return
    expected = [tuple(tensor.shape) for tensor in model.inputs]
    received = [tuple(x.shape) for x in keras.tree.flatten(inputs)]
    fits = len(expected) == len(received) and all(
        len(want) == len(got)
        and all(
            w is None or g in (None, w) for w, g in zip(want[1:], got[1:], strict=True)
        )
        for want, got in zip(expected, received, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`{name}` does not fit the model: inputs of shape {received} came, the "
            f"model takes {expected} (None is the batch). Is the dataset batched, and "
            "`image_size` that of the model?"
        )


def _check_texts(inputs: Any, name: str) -> None:
    if isinstance(inputs, dict):
        return
    dtype = getattr(inputs.dtype, "name", str(inputs.dtype))
    if not dtype.startswith(("str", "bytes", "object")):
        raise ValueError(
            f"`{name}` must hold texts for this model, strings of shape (batch,) or "
            f"pairs of shape (batch, 2). Received: {dtype} of shape {inputs.shape}."
        )


def _check_labels(model: keras.Model, labels: np.ndarray, name: str) -> None:
    if not np.issubdtype(labels.dtype, np.number) and labels.dtype != bool:
        raise ValueError(
            f"Labels in `{name}` must be numbers. Received dtype {labels.dtype}."
        )
    if not np.all(np.isfinite(labels.astype("float64"))):
        raise ValueError(f"Labels in `{name}` hold NaN or infinity.")
    task = getattr(model, "task", None) or _task_of_loss(model.loss)
    units = model.output_shape[-1] if isinstance(model.output_shape, tuple) else None
    is_index = labels.ndim == 1 or labels.shape[-1] == 1
    if task == "classification" and is_index:
        low, high = labels.min(), labels.max()
        if low < 0 or high >= units or np.any(labels != labels.astype("int64")):
            raise ValueError(
                f"Labels in `{name}` must be whole numbers from 0 to {units - 1}, for "
                f"the model's {units} classes. Received labels from {low} to {high} "
                f"({labels.dtype}). Build the model with `data.class_names`."
            )
    elif task in ("classification", "multi_label") and labels.shape[-1] != units:
        raise ValueError(
            f"Labels in `{name}` have shape {labels.shape}; the model has {units} "
            f"classes and takes labels of shape (n, {units})."
        )
    elif task == "multi_label" and not np.all((labels >= 0) & (labels <= 1)):
        raise ValueError(
            f"Labels in `{name}` must be 0 to 1 in each column, one column per class. "
            f"Received values from {labels.min()} to {labels.max()}."
        )
    elif task == "regression" and labels.size != len(labels) * units:
        raise ValueError(
            f"Targets in `{name}` have shape {labels.shape}; the model predicts "
            f"{units} number(s) for each. Build it with outputs={labels[0].size}."
        )


def _task_of_loss(loss: Any) -> str | None:
    """Returns the task of a model that is not ours, where its loss tells it."""
    name = loss if isinstance(loss, str) else getattr(loss, "name", None)
    sparse = name == "sparse_categorical_crossentropy"
    ignores_some = getattr(loss, "ignore_class", None) is not None
    return "classification" if sparse and not ignores_some else None
