"""Checks of model and data before a phase spends time on them."""

from typing import Any

import keras
import numpy as np

from tlkeras.data import examples_of
from tlkeras.freezing import find_backbone


def check_model(model: keras.Model, backbone: keras.Model | str | None) -> None:
    """Raises `ValueError` unless `model` has a backbone, a loss and an optimizer."""
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


def check_data(model: keras.Model, train: Any, val: Any) -> None:
    """Raises `ValueError` where the data cannot be what the model was built for.

    Labels of data sets that tlkeras made are all looked at; of others, the first batch.

    Args:
        model: The compiled model.
        train: Batched dataset of `(inputs, labels)`, or a tuple of arrays.
        val: The same, or `None`.
    """
    for name, data in (("train", train), ("val", val)):
        if data is None and name == "val":
            continue
        inputs, labels = _look_into(data, name)
        _check_inputs(model, inputs, name)
        _check_labels(model, labels, name)


def _look_into(data: Any, name: str) -> tuple[Any, np.ndarray]:
    """Returns the first inputs, and as many labels as are cheap to have."""
    if isinstance(data, tuple) and len(data) in (2, 3):
        if len(data[0]) != len(data[1]) or not len(data[0]):
            raise ValueError(
                f"`{name}` must hold as many labels as inputs, and at least one. "
                f"Received {len(data[0])} inputs and {len(data[1])} labels."
            )
        return data[0][:1], np.asarray(data[1])
    try:
        first = next(iter(data))
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
    known = examples_of(data)
    return first[0], np.asarray(first[1] if known is None else known.labels)


def _check_inputs(model: keras.Model, inputs: Any, name: str) -> None:
    expected = [tuple(tensor.shape) for tensor in model.inputs]
    received = [tuple(np.shape(x)) for x in keras.tree.flatten(inputs)]
    fits = len(expected) == len(received) and all(
        len(want) == len(got)
        and all(w in (None, g) for w, g in zip(want[1:], got[1:], strict=True))
        for want, got in zip(expected, received, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`{name}` does not fit the model: inputs of shape {received} came, the "
            f"model takes {expected} (None is the batch). Is the dataset batched, and "
            "`image_size` that of the model?"
        )


def _check_labels(model: keras.Model, labels: np.ndarray, name: str) -> None:
    if not np.issubdtype(labels.dtype, np.number) and labels.dtype != bool:
        raise ValueError(
            f"Labels in `{name}` must be numbers. Received dtype {labels.dtype}."
        )
    if not np.all(np.isfinite(labels.astype("float64"))):
        raise ValueError(f"Labels in `{name}` hold NaN or infinity.")
    task = getattr(model, "task", None)
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
