"""What labels and outputs mean: the task, class numbers, probabilities, names."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# A row of bfloat16 probabilities sums to 1 to within this.
_SUM_TOLERANCE = 1e-2


class Interpreted(NamedTuple):
    """Labels and outputs in the form that the metrics of a task take.

    Attributes:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        y_true: Class numbers `(n,)`, zeros and ones `(n, labels)`, or values `(n,)`
            or `(n, targets)`.
        outputs: Float32 probabilities `(n, classes)`, or values shaped as `y_true`.
        class_names: Tuple of names, `None` for a regression without any.
    """

    task: str
    y_true: np.ndarray
    outputs: np.ndarray
    class_names: tuple[str, ...] | None


def interpret(
    labels: np.ndarray,
    outputs: np.ndarray,
    task: str | None,
    class_names: Sequence[str] | None,
) -> Interpreted:
    """Reads labels and outputs as what `task` says, or as what they look like.

    Args:
        labels: Numbers of shape `(n,)` or `(n, columns)`.
        outputs: Float32 array of shape `(n, outputs)`.
        task: One of `TASKS`, or `None` to infer it.
        class_names: Names, or `None` for the numbers from 0.

    Returns:
        An `Interpreted`.

    Raises:
        ValueError: If labels, outputs and names do not fit each other.
    """
    if labels.ndim > 2:
        raise ValueError(
            "Labels must have shape (n,) or (n, columns). "
            f"Received labels of shape {labels.shape}."
        )
    task = task or infer_task(labels, outputs)
    return TASKS[task](labels, outputs, class_names)


def infer_task(labels: np.ndarray, outputs: np.ndarray) -> str:
    """Infers the task, or raises `ValueError` where more than one would do."""
    columns = labels.reshape(len(labels), -1).shape[1]
    if columns == 1 and outputs.shape[1] == 1:
        task = _infer_single(labels, outputs)
    elif columns == 1:
        task = "classification" if _are_whole(labels) else None
    elif columns == outputs.shape[1]:
        task = _infer_wide(labels, outputs)
    else:
        raise _unfit(labels, outputs, "either one column, or one for each output")
    if task is not None:
        return task
    raise ValueError(
        f"The task cannot be told from labels of shape {labels.shape} (dtype "
        f"{labels.dtype}) and outputs of shape {outputs.shape}. "
        f"Pass `task`, one of {', '.join(map(repr, TASKS))}."
    )


def _infer_single(labels: np.ndarray, outputs: np.ndarray) -> str | None:
    if not _are_zero_or_one(labels):
        return "regression"
    counted = labels.dtype.kind in "biu"
    return "classification" if counted or _within_unit(outputs) else None


def _infer_wide(labels: np.ndarray, outputs: np.ndarray) -> str | None:
    exclusive = _sum_to_one(outputs)
    if not _are_zero_or_one(labels):
        return None if exclusive else "regression"
    if np.any(labels.sum(axis=1) != 1):
        return "multi_label"
    return "classification" if exclusive else None


def _read_classification(
    labels: np.ndarray, outputs: np.ndarray, class_names: Sequence[str] | None
) -> Interpreted:
    probabilities = _class_probabilities(outputs)
    classes = probabilities.shape[1]
    names = _names(class_names, classes)
    if labels.reshape(len(labels), -1).shape[1] == 1:
        y_true = _class_numbers(labels.ravel(), classes)
    elif labels.shape[1] != classes:
        raise _unfit(labels, outputs, f"one column, or {classes} for one-hot rows")
    elif not _are_zero_or_one(labels) or np.any(labels.sum(axis=1) != 1):
        raise ValueError(
            "Labels with a column per class must be one-hot: a single 1 in each row. "
            "For labels that are not exclusive pass `task='multi_label'`."
        )
    else:
        y_true = labels.argmax(axis=1)
    return Interpreted("classification", y_true, probabilities, names)


def _read_multi_label(
    labels: np.ndarray, outputs: np.ndarray, class_names: Sequence[str] | None
) -> Interpreted:
    names = _names(class_names, outputs.shape[1])
    labels = labels.reshape(len(labels), -1)
    if labels.shape != outputs.shape:
        raise _unfit(labels, outputs, f"{outputs.shape[1]} columns of zeros and ones")
    if not _are_zero_or_one(labels):
        raise ValueError(
            "Labels that are not exclusive must be zeros and ones. Received values "
            f"from {labels.min()} to {labels.max()}."
        )
    return Interpreted(
        "multi_label", labels.astype("int64"), _unit_values(outputs), names
    )


def _read_regression(
    labels: np.ndarray, outputs: np.ndarray, class_names: Sequence[str] | None
) -> Interpreted:
    names = None if class_names is None else _names(class_names, outputs.shape[1])
    labels = labels.reshape(len(labels), -1).astype("float64")
    if labels.shape != outputs.shape:
        raise _unfit(labels, outputs, f"{outputs.shape[1]} columns of numbers")
    if not np.isfinite(labels).all():
        raise ValueError("Labels must be finite. Received NaN or infinite labels.")
    if outputs.shape[1] == 1:
        labels, outputs = labels.ravel(), outputs.ravel()
    return Interpreted("regression", labels, outputs, names)


# Each task, and how it reads labels, outputs and names.
TASKS = {
    "classification": _read_classification,
    "multi_label": _read_multi_label,
    "regression": _read_regression,
}


def _class_probabilities(outputs: np.ndarray) -> np.ndarray:
    """Returns probabilities per class; a single output is that of class 1."""
    if outputs.shape[1] == 1:
        positive = _unit_values(outputs)
        return np.concatenate([1 - positive, positive], axis=1)
    if _sum_to_one(outputs):
        return outputs
    from scipy.special import softmax

    return softmax(outputs, axis=1)


def _unit_values(outputs: np.ndarray) -> np.ndarray:
    if _within_unit(outputs):
        return outputs
    from scipy.special import expit

    return expit(outputs)


def _class_numbers(labels: np.ndarray, classes: int) -> np.ndarray:
    wrong = labels[(labels < 0) | (labels >= classes) | (labels != np.floor(labels))]
    if wrong.size:
        raise ValueError(
            f"Labels must be class numbers from 0 to {classes - 1}: the model tells "
            f"{classes} classes apart. Received {wrong.size} other labels, such as "
            f"{wrong[0]}."
        )
    return labels.astype("int64")


def _names(class_names: Any, count: int) -> tuple[str, ...]:
    if class_names is None:
        return tuple(str(number) for number in range(count))
    if isinstance(class_names, str) or len(class_names) != count:
        raise ValueError(
            f"`class_names` must be a sequence of {count} names, one for each class "
            f"that the model tells apart. Received: {class_names!r}."
        )
    return tuple(str(name) for name in class_names)


def _unfit(labels: np.ndarray, outputs: np.ndarray, valid: str) -> ValueError:
    return ValueError(
        f"Labels of shape {labels.shape} do not fit outputs of shape {outputs.shape}. "
        f"They must have {valid}."
    )


def _are_whole(values: np.ndarray) -> bool:
    return bool(np.all(values == np.floor(values)))


def _are_zero_or_one(values: np.ndarray) -> bool:
    return bool(np.all((values == 0) | (values == 1)))


def _within_unit(values: np.ndarray) -> bool:
    return bool(np.all((values >= 0) & (values <= 1)))


def _sum_to_one(outputs: np.ndarray) -> bool:
    sums = outputs.sum(axis=1)
    return bool(np.all(outputs >= 0) and np.all(np.abs(sums - 1) <= _SUM_TOLERANCE))
