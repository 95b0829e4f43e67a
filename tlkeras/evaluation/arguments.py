"""What a `Report` is made of: checks of its arguments, and parts of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras.evaluation.aligned import check_values
from tlkeras.evaluation.examples import EvaluatedExamples
from tlkeras.metrics.multi_label import check_thresholds


def check_arrays(labels: Any, outputs: Any) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(labels)
    outputs = np.asarray(outputs, dtype="float32")
    if labels.ndim == 0 or outputs.ndim not in (1, 2) or len(labels) != len(outputs):
        raise ValueError(
            "`labels` and `outputs` must be arrays of as many examples each, `outputs` "
            "of shape (n,) or (n, outputs). "
            f"Received shapes {labels.shape} and {outputs.shape}."
        )
    if not len(labels):
        raise ValueError("`labels` and `outputs` must hold at least one example.")
    return labels, outputs.reshape(len(outputs), -1)


def check_weights(sample_weight: Any, examples: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype="float32").ravel()
    if len(weights) != examples or not np.all(weights >= 0) or not weights.any():
        raise ValueError(
            f"`sample_weight` must hold {examples} numbers of at least 0, not all of "
            f"them 0. Received {len(weights)} with a sum of {weights.sum()}."
        )
    return weights


def check_groups(groups: Any, examples: int) -> np.ndarray | None:
    return None if groups is None else check_values("`groups`", groups, examples)


def options_of(task: str, thresholds: Any, names: Sequence[str]) -> dict[str, Any]:
    """Returns what the functions of a task's figures take beside the outputs."""
    if thresholds is None:
        return {}
    if task != "multi_label":
        raise ValueError(
            "`thresholds` are for labels that are not exclusive. Received the task "
            f"{task!r}."
        )
    return {"thresholds": check_thresholds(thresholds, len(names))}


def examples_of(inputs: Any) -> EvaluatedExamples | None:
    if inputs is None or isinstance(inputs, EvaluatedExamples):
        return inputs
    return EvaluatedExamples(np.asarray(inputs))


def part_of(values: np.ndarray | None, positions: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[positions]


def positions_of(where: Any, examples: int) -> np.ndarray:
    where = np.asarray(where)
    mask = where.dtype.kind == "b" and where.shape == (examples,)
    numbers = where.dtype.kind in "iu" and where.ndim == 1
    if not where.size or not (mask or numbers) or (mask and not where.any()):
        raise ValueError(
            f"`where` must be {examples} booleans, or positions, that leave at least "
            f"one example. Received shape {where.shape} of dtype {where.dtype}."
        )
    positions = np.flatnonzero(where) if mask else where
    if numbers and not np.all((positions >= 0) & (positions < examples)):
        raise ValueError(
            f"`where` must hold positions from 0 to {examples - 1}. Received: "
            f"{positions.min()} to {positions.max()}."
        )
    return positions
