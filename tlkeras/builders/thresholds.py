"""Thresholds of labels that are not exclusive: what a model may be told to keep."""

from collections.abc import Mapping
from typing import Any

from tlkeras.metrics.multi_label import check_thresholds


def checked_thresholds(model: Any, value: Any) -> Any:
    """Returns thresholds as a model keeps them, plain numbers.

    Args:
        model: A `TransferModel`.
        value: `None`; a number or one per label; of a model with several heads, from
            heads to such.

    Returns:
        `None`, a number, a tuple of numbers, or a dictionary of these.

    Raises:
        ValueError: If the model has no such labels, or the value does not fit them.
    """
    if value is None:
        return None
    if model.targets is None:
        return _of_labels(value, model.task, model.class_names, "the model")
    by_head = model.targets.by_head
    several = [n for n, target in by_head.items() if target.task == "multi_label"]
    if not isinstance(value, Mapping) or not set(value) <= set(several):
        raise ValueError(
            "`thresholds` of a model with several heads are given by head, for those "
            f"with labels that are not exclusive: {several}. Received: {value!r}."
        )
    return {
        name: _of_labels(part, "multi_label", by_head[name].class_names, f"head {name}")
        for name, part in value.items()
    }


def _of_labels(value: Any, task: str | None, names: Any, what: str) -> Any:
    if task != "multi_label":
        raise ValueError(
            "`thresholds` are for labels that are not exclusive (multi_label=True); "
            f"the task of {what} is {task!r}. Received: {value!r}."
        )
    check_thresholds(value, len(names))
    plain = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(float, plain)) if hasattr(plain, "__len__") else float(plain)
